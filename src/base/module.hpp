#pragma once

#include <string>

namespace penstock {

/// Loads a part of the program that lies in a file of its own, as what it needs would make every start slower: the
/// libraries behind HDF5 and HTTP are half of all that there are. It stays loaded.
/// @param name   Of the file `penstock_<name>.so`, in the folder of this build's or this installation's modules.
/// @param entry  The name of what the part has for the program, with C linkage.
/// @return what is there, in this build's form.
/// @throws Error{failed} if it is not there, cannot be loaded, or is another version's.
[[nodiscard]] const void* load_module(const std::string& name, const std::string& entry);

}  // namespace penstock
