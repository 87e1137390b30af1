#pragma once

/// Marks a function that kernels call: it is compiled for the device as well where there is one.
#if defined(__CUDACC__)
#define PENSTOCK_FUNCTION __host__ __device__
#else
#define PENSTOCK_FUNCTION
#endif
