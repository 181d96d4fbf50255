// Who am I, by each launcher's variables; what is incomplete or contradicts itself is refused by
// the name of the variable.
#include <map>

#include "calibrate/comm/launch.hpp"
#include "calibrate/comm/rank_map.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"

using namespace moesim;
using namespace moesim::comm;

namespace {

using Variables = std::map<std::string, std::string>;

Launch launch(const Variables& variables, const std::string& rendezvous = "") {
  return detect_launch(
      [&](const char* name) {
        const auto it = variables.find(name);
        return it == variables.end() ? nullptr : it->second.c_str();
      },
      rendezvous);
}
std::string launch_refusal(const Variables& variables, const std::string& rendezvous = "") {
  return refusal([&] { launch(variables, rendezvous); });
}

const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "3"},
                            {"OMPI_COMM_WORLD_SIZE", "16"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}};
const Variables kTorchrun = {{"RANK", "3"},
                             {"WORLD_SIZE", "16"},
                             {"LOCAL_RANK", "2"},
                             {"MASTER_ADDR", "node1"},
                             {"MASTER_PORT", "29500"}};

Variables with(Variables all, const Variables& more) {
  for (const auto& [name, value] : more) all[name] = value;
  return all;
}

}  // namespace

TEST_CASE("comm launch: every launcher's variables are read", "[comm]") {
  const Launch alone = launch({});
  CHECK(alone.world == 1);
  CHECK(alone.launcher.empty());

  const Launch open_mpi = launch(kOpenMpi, "node1:29511");
  CHECK(open_mpi.rank == 3);
  CHECK(open_mpi.world == 16);
  CHECK(open_mpi.local_rank == 1);
  CHECK(open_mpi.launcher == "OpenMPI");
  CHECK(open_mpi.rendezvous == "node1:29511");

  const Launch torchrun = launch(kTorchrun);
  CHECK(torchrun.rendezvous == "node1:29500");
  CHECK(torchrun.local_rank == 2);
  CHECK(launch(kTorchrun, "other:1").rendezvous == "other:1");
  CHECK(launch(with(kTorchrun, {{"MASTER_ADDR", "fe80::1"}})).rendezvous == "[fe80::1]:29500");

  const Launch pmi = launch({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"PMIX_RANK", "1"}}, "h:1");
  CHECK(pmi.launcher == "PMI");
  CHECK(pmi.rank == 1);
  CHECK_FALSE(pmi.local_rank);

  const Variables slurm = {{"SLURM_PROCID", "5"}, {"SLURM_NTASKS", "8"}, {"SLURM_LOCALID", "5"}};
  CHECK(launch(slurm, "h:1").launcher == "Slurm");
  CHECK(launch(slurm, "h:1").rank == 5);
  // Slurm numbers mpirun's daemons, not its ranks.
  CHECK(launch(with(kOpenMpi, slurm), "h:1").rank == 3);
  // One rank needs nobody to meet.
  CHECK(launch({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).rendezvous.empty());
  CHECK(launch({{"RANK", ""}, {"WORLD_SIZE", ""}}).launcher.empty());
}

TEST_CASE("comm launch: what is incomplete or contradicts itself is refused", "[comm]") {
  CHECK(launch_refusal({{"RANK", "0"}}) ==
        "RANK: is set and WORLD_SIZE is not; expected both of torchrun or neither");
  CHECK(launch_refusal({{"SLURM_NTASKS", "4"}}) ==
        "SLURM_NTASKS: is set and SLURM_PROCID is not; expected both of Slurm or neither");
  CHECK(launch_refusal({{"PMI_RANK", "4"}, {"PMI_SIZE", "4"}}) ==
        "PMI_RANK: is \"4\"; expected a whole number from 0 to 3");
  CHECK(launch_refusal({{"RANK", "1x"}, {"WORLD_SIZE", "4"}}) ==
        "RANK: is \"1x\"; expected a whole number from 0 to 3");
  CHECK(launch_refusal({{"RANK", "0"}, {"WORLD_SIZE", "0"}}) ==
        "WORLD_SIZE: is \"0\"; expected a whole number from 1 to 1048576");
  CHECK(launch_refusal(with(kOpenMpi, {{"RANK", "4"}, {"WORLD_SIZE", "16"}}), "h:1") ==
        "environment: OMPI_COMM_WORLD_RANK=3 of OMPI_COMM_WORLD_SIZE=16 and RANK=4 of "
        "WORLD_SIZE=16 disagree; expected one launcher: unset the variables of the other");
  CHECK(launch(with(kOpenMpi, {{"RANK", "3"}, {"WORLD_SIZE", "16"}}), "h:1").rank == 3);
  CHECK(launch_refusal(with(kOpenMpi, {{"PMIX_RANK", "2"}}), "h:1") ==
        "PMIX_RANK: is 2; OpenMPI says this is rank 3");
  CHECK(launch_refusal({{"PMIX_RANK", "2"}}).find("how many ranks there are") != std::string::npos);
  CHECK(launch_refusal(kOpenMpi).find("--rendezvous: is needed: OpenMPI started 16 ranks") == 0);
  CHECK(launch_refusal(kOpenMpi, "node1") == "--rendezvous: is \"node1\"; expected HOST:PORT");
  CHECK(launch_refusal(kOpenMpi, "::1:80") == "--rendezvous: is \"::1:80\"; expected HOST:PORT");
  CHECK(launch_refusal(kOpenMpi, "h:70000") ==
        "--rendezvous: port: is \"70000\"; expected a whole number from 1 to 65535");
  CHECK(launch_refusal({}, "h:1").find("nothing says which rank this is") != std::string::npos);
}

TEST_CASE("comm launch: ranks are numbered by node however they were dealt out", "[comm]") {
  std::vector<RankPlace> places;
  for (int rank = 0; rank < 6; ++rank)
    places.push_back({"node" + std::to_string(rank % 2), "bus" + std::to_string(rank), "GPU"});
  const RankMap map(places);
  CHECK(map.num_nodes() == 2);
  CHECK(map.ranks_per_node() == 3);
  // Places 0 1 2 are ranks 0 2 4, of node0.
  CHECK(map.rank_of_place(1) == 2);
  CHECK(map.place_of_rank(1) == 3);
  CHECK(map.same_node(4) == std::vector<int>{3, 4, 5});
  CHECK(map.same_rail(4) == std::vector<int>{1, 4});
  CHECK(map.link(1, 1) == LinkClass::self);
  CHECK(map.link(0, 2) == LinkClass::nvlink);
  CHECK(map.link(0, 3) == LinkClass::rail);
  CHECK(map.link(0, 4) == LinkClass::cross_rail);

  places.push_back({"node0", "bus9", "GPU"});
  CHECK_THROWS_WITH(RankMap(places), "node1 has 3 ranks and node0 4; start as many on every node");
  places.back() = {"node0", "bus0", "GPU"};
  CHECK_THROWS_WITH(RankMap(places),
                    "rank 6 shares GPU bus0 of node0 with another rank; start one rank a GPU");
  places.back() = {"node0", "bus9", "other GPU"};
  CHECK_THROWS_WITH(RankMap(places),
                    "rank 6 has a other GPU and rank 0 a GPU; measure one kind of GPU at a time");
}
