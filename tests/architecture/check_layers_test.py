#!/usr/bin/env python3
"""Shows that check_layers.py lets a clean tree pass and catches each kind of violation planted in it."""

import pathlib
import tempfile
import unittest

import check_layers

CLEAN = {
    "include/penstock/error.hpp": "#pragma once\n#include <string>\n",
    "include/penstock/operator.hpp": "#pragma once\n#include <penstock/error.hpp>\n",
    "src/base/clock.hpp": "#pragma once\n#include <memory>\n",
    "src/memory/arena.hpp": '#pragma once\n#include <sys/mman.h>\n#include "base/clock.hpp"\n',
    "src/operators/affine.hpp": "#pragma once\n#include <penstock/operator.hpp>\n",
    "src/transports/shm/ring.hpp": '#pragma once\n#include "memory/arena.hpp"\n',
    "src/transports/mpi/frames.cpp": "#include <mpi.h>\n",
    "src/transports/make.cpp": '#include "transports/shm/ring.hpp"\n',
    "src/spec/json.cpp": "#include <nlohmann/json.hpp>\n",
    "src/runtime/loop.cpp": '#include <penstock/operator.hpp>\n#include "memory/arena.hpp"\n',
}


class CheckLayers(unittest.TestCase):
    def found(self, **planted):
        """What the check reports for the clean tree plus the planted files."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {**CLEAN, **planted}.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check_layers.problems(root)

    def assert_caught(self, name, text, message):
        found = self.found(**{name: text})
        self.assertEqual(len(found), 1, found)
        self.assertIn(name, found[0])
        self.assertIn(message, found[0])

    def test_a_clean_tree_passes(self):
        self.assertEqual(self.found(), [])

    def test_an_include_that_goes_up_is_caught_with_its_line(self):
        self.assert_caught("src/base/up.cpp", '// one\n#include "memory/arena.hpp"\n',
                           ":2: base must not include memory")

    def test_an_include_that_goes_up_through_a_public_header_is_caught(self):
        self.assert_caught("src/memory/up.cpp", "#include <penstock/operator.hpp>\n",
                           "memory must not include operators")

    def test_an_include_that_goes_sideways_is_caught(self):
        self.assert_caught("src/operators/side.cpp", '#include "transports/make.cpp"\n',
                           "operators must not include transports")

    def test_a_public_header_of_no_layer_is_caught(self):
        found = self.found(**{"include/penstock/new.hpp": "#pragma once\n",
                              "src/cli/main.cpp": "#include <penstock/new.hpp>\n"})
        self.assertEqual(len(found), 2, found)

    def test_a_private_operator_header_in_the_runtime_is_caught(self):
        self.assert_caught("src/runtime/peek.cpp", '#include "operators/affine.hpp"\n', "public header only")

    def test_a_transport_that_knows_its_neighbour_is_caught(self):
        self.assert_caught("src/transports/mpi/peek.cpp", '#include "transports/shm/ring.hpp"\n', "make.cpp")

    def test_a_transport_named_outside_the_factory_is_caught(self):
        self.assert_caught("src/launch/peek.cpp", '#include "transports/shm/ring.hpp"\n', "make.cpp")

    def test_third_party_headers_outside_their_home_are_caught(self):
        for header in ("mpi.h", "nlohmann/json.hpp", "Kokkos_Core.hpp", "httplib.h", "spdlog/spdlog.h",
                       "CLI/CLI.hpp", "ucp/api/ucp.h", "rdma/fabric.h", "hdf5.h", "gtest/gtest.h"):
            with self.subTest(header=header):
                self.assert_caught("src/memory/third.cpp", f"#include <{header}>\n", f"<{header}> belongs in")

    def test_a_third_party_header_in_a_private_header_is_caught(self):
        self.assert_caught("src/plan/describe.hpp", "#pragma once\n#include <nlohmann/json.hpp>\n", "belongs in")

    def test_a_public_header_with_a_third_party_include_is_caught(self):
        self.assert_caught("include/penstock/spec.hpp", "#pragma once\n#include <boost/any.hpp>\n",
                           "standard library and <penstock/...> only")

    def test_a_public_header_with_a_private_include_is_caught(self):
        self.assert_caught("include/penstock/memory.hpp", '#pragma once\n#include "base/clock.hpp"\n',
                           "standard library and <penstock/...> only")

    def test_a_header_without_pragma_once_is_caught(self):
        self.assert_caught("src/base/bare.hpp", "#include <string>\n", "no #pragma once")

    def test_an_include_relative_to_the_including_file_is_caught(self):
        self.assert_caught("src/memory/near.cpp", '#include "arena.hpp"\n', "relative to src/")

    def test_a_file_outside_the_layers_is_caught(self):
        self.assert_caught("src/utils/helper.cpp", "", "belongs to no layer")


if __name__ == "__main__":
    unittest.main()
