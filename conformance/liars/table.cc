// Takes the place of the library's table of mechanisms, in the suite's program of liars only.
#include <array>

#include "api/mechanism.h"
#include "conformance/liars/liars.h"

namespace crucible {
namespace {

constexpr std::array kTable = {describe<liars::Honest>(),  describe<liars::Drops>(),  describe<liars::Truncates>(),
                               describe<liars::Swaps>(),   describe<liars::Stalls>(), describe<liars::Invents>(),
                               describe<liars::Discards>()};

}  // namespace

std::span<const Mechanism> mechanisms() noexcept { return kTable; }

}  // namespace crucible
