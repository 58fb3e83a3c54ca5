// What a test must leave as it found it.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace crucible::testing {

/// A photograph of this process's descriptors, children and threads and of the library's names in the file system.
class Inventory {
 public:
  /// The files in `directories` whose names begin with `crucible` count as the library's.
  static Inventory take(const std::vector<std::string>& directories = {"/dev/shm", "/tmp"});

  /// What is there now and was not in `before`, or the reverse: one sentence each.
  std::vector<std::string> differences_from(const Inventory& before) const;

 private:
  std::map<std::string, std::string> things_;  // what it is, e.g. `descriptor 5`, and what it refers to
};

}  // namespace crucible::testing
