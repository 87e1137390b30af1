// A pipeline with operators of its own: vector -> scale -> print.
#include <algorithm>
#include <iostream>

#include <penstock/penstock.hpp>

struct Scale : penstock::Processor {
    explicit Scale(const penstock::Params& params) : factor{params.get<double>("factor")} {}

    void process(const penstock::Payload& in, penstock::Output& out) override {
        const auto x = in.view<double>();
        auto y = out.draft<double>(x.size());
        std::transform(x.begin(), x.end(), y.begin(), [this](double value) { return factor * value; });
        out.emit(std::move(y));
    }

    double factor;
};

struct Print : penstock::Sink {
    void consume(const penstock::Payload& in) override {
        for (const double value : in.view<double>()) std::cout << value << ' ';
        std::cout << std::endl;
    }
};

int main(int argc, char** argv) try {
    penstock::Runtime runtime{argc, argv};
    runtime.registry().add<Scale>("scale");
    runtime.registry().add<Print>("print");
    return runtime.run(penstock::load_pipeline(argc > 1 ? argv[argc - 1] : "hello.json")).exit_code;
} catch (const penstock::Error& error) {
    std::cerr << "hello: " << error.what() << '\n';
    return penstock::exit_code(error.code());
}
