// The watchdog: the only upper limit of an ordinary test. A process beside the test, so that it works whatever
// the test's own threads do, and adds no thread and no descriptor to what is tested.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

namespace crucible::testing::watchdog {

/// CRUCIBLE_WATCHDOG_SECONDS, otherwise 60 s.
std::chrono::nanoseconds limit();

/// From now on this process and its descendants have limit() until disarm(). On expiry each thread of each of them is
/// reported on stderr with where it sleeps and its process's last note, then all are killed. Replaces an earlier arm().
void arm(const std::string& test);
void disarm();

/// The watchdog's own process, a child of this one that wait(2) does not see without __WCLONE; 0 if there is none.
pid_t pid();

/// Where this process stands. Kept for the report; cut to about 100 characters.
void note(const char* text);
std::string note_of(pid_t pid);
void forget(pid_t pid);

}  // namespace crucible::testing::watchdog
