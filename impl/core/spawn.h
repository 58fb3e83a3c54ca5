// Start methods: how a Process comes to be, and what a program that spawns begins with.
#pragma once

#include <span>
#include <string_view>

namespace crucible {

/// The first statement of main() in a program that spawns. In a process that Process::start() spawned it runs the
/// function that was asked for and ends the process: it never returns there. Elsewhere it notes that it was called.
/// Whatever stands before it, constructors of globals included, runs in every spawned process too; a process that is
/// started there is StateError in a spawned one, lest programs start themselves for ever.
void init(int argc, char** argv);

/// The names of the methods there are, the default of a fresh program first: "fork", "spawn".
std::span<const std::string_view> start_methods() noexcept;
/// What a Process is started by that was not told otherwise. Children of either kind go on with their parent's.
std::string_view start_method();
/// Chooses it, once in a program: StateError the second time unless `force`. BadArgument for an unknown name.
void set_start_method(std::string_view method, bool force = false);

}  // namespace crucible
