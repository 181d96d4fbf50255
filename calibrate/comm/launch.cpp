#include "calibrate/comm/launch.hpp"

#include <array>
#include <charconv>
#include <vector>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim::comm {
namespace {

constexpr int kMostRanks = 1 << 20;

struct Launcher {
  const char *name, *rank, *size, *local_rank;
};
constexpr std::array kLaunchers = {
    Launcher{
        "OpenMPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    Launcher{"PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    Launcher{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
};
constexpr Launcher kSlurm = {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"};

std::optional<std::string> variable(const Environment& environment, const char* name) {
  const char* value = environment(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

int number(const std::string& text, const std::string& place, int least, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    throw InputError(place,
                     "is " + in_quotes(text) + "; expected a whole number from " +
                         std::to_string(least) + " to " + std::to_string(most));
  return value;
}

std::optional<Launch> read_launcher(const Launcher& launcher, const Environment& environment) {
  const auto rank = variable(environment, launcher.rank);
  const auto size = variable(environment, launcher.size);
  if (!rank && !size) return std::nullopt;
  if (!rank || !size)
    throw InputError(rank ? launcher.rank : launcher.size,
                     std::string("is set and ") + (rank ? launcher.size : launcher.rank) +
                         " is not; expected both of " + launcher.name + " or neither");
  Launch launch;
  launch.launcher = launcher.name;
  launch.world = number(*size, launcher.size, 1, kMostRanks);
  launch.rank = number(*rank, launcher.rank, 0, launch.world - 1);
  if (const auto local = variable(environment, launcher.local_rank))
    launch.local_rank = number(*local, launcher.local_rank, 0, launch.world - 1);
  return launch;
}

void refuse_conflict(const Launcher& a,
                     const Launch& first,
                     const Launcher& b,
                     const Launch& second) {
  if (first.rank == second.rank && first.world == second.world) return;
  const auto said = [](const Launcher& by, const Launch& launch) {
    return std::string(by.rank) + "=" + std::to_string(launch.rank) + " of " + by.size + "=" +
           std::to_string(launch.world);
  };
  throw InputError("environment",
                   said(a, first) + " and " + said(b, second) +
                       " disagree; expected one launcher: unset the variables of the other");
}

}  // namespace

Address parse_address(const std::string& text, const std::string& place) {
  const std::size_t colon = text.rfind(':');
  Address address;
  if (colon != std::string::npos) {
    address = {text.substr(0, colon), text.substr(colon + 1)};
    if (address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']')
      address.host = address.host.substr(1, address.host.size() - 2);
    else if (address.host.find(':') != std::string::npos)
      address.host.clear();
  }
  if (address.host.empty() || address.port.empty())
    throw InputError(place, "is " + in_quotes(text) + "; expected HOST:PORT");
  number(address.port, place + ": port", 1, 65535);
  return address;
}

Launch detect_launch(const Environment& environment, const std::string& rendezvous) {
  std::optional<Launch> launch;
  const Launcher* by = nullptr;
  for (const Launcher& launcher : kLaunchers) {
    const auto found = read_launcher(launcher, environment);
    if (!found) continue;
    if (launch) refuse_conflict(*by, *launch, launcher, *found);
    if (launch) continue;
    launch = found;
    by = &launcher;
  }
  if (!launch) launch = read_launcher(kSlurm, environment);
  if (const auto pmix = variable(environment, "PMIX_RANK")) {
    const int rank = number(*pmix, "PMIX_RANK", 0, kMostRanks);
    if (!launch)
      throw InputError(
          "PMIX_RANK",
          "is set and nothing says how many ranks there are; expected the variables of "
          "OpenMPI, PMI, torchrun or Slurm beside it");
    if (rank != launch->rank)
      throw InputError("PMIX_RANK",
                       "is " + *pmix + "; " + launch->launcher + " says this is rank " +
                           std::to_string(launch->rank));
  }
  if (!rendezvous.empty()) parse_address(rendezvous, "--rendezvous");
  if (!launch) {
    if (!rendezvous.empty())
      throw InputError("--rendezvous",
                       "is given and nothing says which rank this is; expected the variables of a "
                       "launcher, or RANK and WORLD_SIZE");
    return {};
  }
  if (launch->world == 1) return *launch;
  launch->rendezvous = rendezvous;
  const auto host = variable(environment, "MASTER_ADDR"),
             port = variable(environment, "MASTER_PORT");
  if (rendezvous.empty() && host && port) {
    launch->rendezvous =
        (host->find(':') == std::string::npos ? *host : "[" + *host + "]") + ":" + *port;
    parse_address(launch->rendezvous, "MASTER_ADDR:MASTER_PORT");
  }
  if (launch->rendezvous.empty())
    throw InputError("--rendezvous",
                     "is needed: " + launch->launcher + " started " +
                         std::to_string(launch->world) +
                         " ranks; expected HOST:PORT, rank 0's host and a free port there (or both "
                         "MASTER_ADDR and MASTER_PORT)");
  return *launch;
}

}  // namespace moesim::comm
