// Which rank this process is and how many there are, from the environment its launcher made. Read
// are, by what their documentation names:
//
//   OpenMPI   OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE, OMPI_COMM_WORLD_LOCAL_RANK
//   PMI       PMI_RANK, PMI_SIZE, MPI_LOCALRANKID (MPICH's Hydra, Intel MPI)
//   torchrun  RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT
//   Slurm     SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID
//
// PMIX_RANK names a rank but no size: it is compared with the rank that was found. Slurm's
// variables count only where none of the others is there: in a Slurm job they are also set for
// mpirun and torchrun, whose daemons they number, not whose ranks.
//
// Left out: finding rank 0's address from a launcher's own directory (PMI's key-value space,
// Slurm's node list). It is MASTER_ADDR and MASTER_PORT or --rendezvous HOST:PORT.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace moesim::comm {

struct Launch {
  int rank = 0, world = 1;
  std::optional<int> local_rank;  // among the ranks of its host; absent: nobody said
  std::string launcher;           // in words; empty: started by hand, alone
  std::string rendezvous;         // HOST:PORT of rank 0; empty where there is one rank
};

// The value of a variable, nullptr where it is not set.
using Environment = std::function<const char*(const char* name)>;

// InputError, by the name of the variable, for what is incomplete, no number, out of range or
// contradicts itself, and for more than one rank without a rendezvous. `rendezvous`: from the
// command line, empty where absent.
Launch detect_launch(const Environment& environment, const std::string& rendezvous);

struct Address {
  std::string host, port;
};
// InputError at `place` for anything but HOST:PORT; an IPv6 host stands in brackets.
Address parse_address(const std::string& text, const std::string& place);

}  // namespace moesim::comm
