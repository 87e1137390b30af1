// In place of the other files of its name where HDF5 has no MPI-IO.
#include "operators/hdf5/shared_writer.hpp"

namespace penstock::hdf5 {

std::unique_ptr<SharedWriter> make_shared_writer(const ResultSettings&, const Origin&, StageContext&, MalformedRecords&,
                                                 SharedWriter::Limits) {
    throw Error{Errc::unsupported,
                "parameter \"shared\" needs an HDF5 with MPI-IO, which this build has not; install libhdf5-openmpi-dev "
                "and configure again, or set it to false for one file an instance"};
}

}  // namespace penstock::hdf5
