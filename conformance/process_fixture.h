// The suites of the process tests, whose clauses stand in several files.
#pragma once

#include "conformance/support/fixture.h"
#include "core/process.h"

namespace crucible::testing {

/// What the suites' names hide.
using Child = crucible::Process;

class Process : public CleanFixture {};
class ProcessTiming : public CleanFixture {};

}  // namespace crucible::testing
