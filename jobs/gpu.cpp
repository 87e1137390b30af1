// An operator that runs on a GPU: vector -> scale_on_gpu -> jsonl_sink, as gpu.json has it. By nvcc it is compiled for
// a GPU, by any other compiler for the host: then it is for a try of the job.
#include <algorithm>
#include <iostream>

#include <penstock/penstock.hpp>

#ifdef __CUDACC__
void check(cudaError_t code) {
    if (code != cudaSuccess) throw penstock::Error{penstock::Errc::failed, cudaGetErrorString(code)};
}

__global__ void multiply(double* numbers, std::size_t count, double factor) {
    const std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i < count) numbers[i] *= factor;
}

/// The instance sees one GPU, its own: nothing here chooses one.
struct Scaler {
    Scaler() = default;
    ~Scaler() { cudaFree(numbers); }
    Scaler(const Scaler&) = delete;
    Scaler& operator=(const Scaler&) = delete;

    void operator()(const double* in, double* out, std::size_t count, double factor) {
        if (count == 0) return;
        if (count > room) {
            check(cudaFree(numbers));
            numbers = nullptr;
            room = 0;
            check(cudaMalloc(&numbers, count * sizeof(double)));
            room = count;
        }
        check(cudaMemcpy(numbers, in, count * sizeof(double), cudaMemcpyHostToDevice));
        multiply<<<static_cast<unsigned>((count + 255) / 256), 256>>>(numbers, count, factor);
        check(cudaGetLastError());
        check(cudaMemcpy(out, numbers, count * sizeof(double), cudaMemcpyDeviceToHost));
    }

    double* numbers = nullptr;
    std::size_t room = 0;
};
#else
struct Scaler {
    void operator()(const double* in, double* out, std::size_t count, double factor) {
        std::transform(in, in + count, out, [factor](double value) { return factor * value; });
    }
};
#endif

struct ScaleOnGpu : penstock::Processor {
    explicit ScaleOnGpu(const penstock::Params& params) : factor{params.get<double>("factor")} {}

    void process(const penstock::Payload& in, penstock::Output& out) override {
        const auto x = in.view<double>();
        auto y = out.draft<double>(x.size());
        scale(x.data(), y.data(), x.size(), factor);
        out.emit(std::move(y));
    }

    double factor;
    Scaler scale;
};

int main(int argc, char** argv) try {
    penstock::Runtime runtime{argc, argv};
    runtime.registry().add<ScaleOnGpu>(
        {.name = "scale_on_gpu",
         .help = "Multiplies numbers.",
         .params = {{.name = "factor", .kind = penstock::ParamKind::number, .help = "Times that."}},
         .gpu = true});
    return runtime.run(penstock::load_pipeline(argc > 1 ? argv[argc - 1] : "gpu.json")).exit_code;
} catch (const penstock::Error& error) {
    std::cerr << "gpu: " << error.what() << '\n';
    return penstock::exit_code(error.code());
}
