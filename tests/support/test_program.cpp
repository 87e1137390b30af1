// Runs a pipeline file like `penstock run`, with the test operators: penstock_test_program [options] FILE
#include <iostream>

#include <penstock/penstock.hpp>

#include "support/test_operators.hpp"

int main(int argc, char** argv) {
    try {
        if (argc < 2)
            throw penstock::Error{penstock::Errc::invalid_input, "no pipeline file; give it as the last argument"};
        penstock::Runtime runtime{argc, argv};
        penstock::test::add_test_operators(runtime.registry());
        const penstock::RunResult result = runtime.try_run(penstock::load_pipeline(argv[argc - 1]));
        if (!result.error.empty() && result.coordinator) std::cerr << "penstock: " << result.error << '\n';
        if (!result.run_dir.empty() && result.coordinator) std::cout << "run directory: " << result.run_dir << '\n';
        return result.exit_code;
    } catch (const penstock::Error& error) {
        std::cerr << "penstock: " << error.what() << '\n';
        return penstock::exit_code(error.code());
    }
}
