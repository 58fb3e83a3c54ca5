// A program that shares locks and semaphores by name. Started as ExecPeer's, with the kind of object and its name in
// place of a mechanism and an address; obeys: acquire, try, for <ms>, release, locked, value, permit, drop, exit.
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <optional>
#include <sstream>
#include <string>

#include "api/status.h"
#include "core/lock.h"
#include "core/rlock.h"
#include "core/semaphore.h"

namespace crucible::testing {
namespace {

using std::chrono::milliseconds;

std::string name_of(Status status) { return std::string(to_string(status)); }
Status outcome(bool taken) { return taken ? Status::kOk : Status::kTimeout; }

template <class L>
std::string obey(detail::OwnedLock<L>& vocabulary, const std::string& verb, int number) {
  L& lock = static_cast<L&>(vocabulary);
  if (verb == "acquire") return name_of(lock.acquire());
  if (verb == "try") return name_of(lock.try_acquire());
  if (verb == "for") return name_of(lock.acquire_for(milliseconds(number)));
  if (verb == "locked") return lock.locked() ? "yes" : "no";
  if (verb == "release") return lock.release(), "Ok";
  return "no such order: " + verb;
}

std::string obey(Semaphore& semaphore, const std::string& verb, int number) {
  static std::optional<Semaphore::Permit> permit;
  if (verb == "acquire") return semaphore.acquire(), "Ok";
  if (verb == "try") return name_of(outcome(semaphore.try_acquire()));
  if (verb == "for") return name_of(outcome(semaphore.acquire_for(milliseconds(number))));
  if (verb == "value") return std::to_string(semaphore.value());
  if (verb == "release") return semaphore.release(), "Ok";
  if (verb == "permit") return permit.emplace(semaphore.permit()), "Ok";
  if (verb == "drop") return permit.reset(), "Ok";
  return "no such order: " + verb;
}
// Until the end of its orders.
template <class T>
int serve(const char* name) {
  T object = T::open(name);
  for (;;) {
    std::string order(1024, '\0');
    ssize_t length = -1;
    while ((length = ::recv(STDIN_FILENO, order.data(), order.size(), 0)) < 0 && errno == EINTR) {
    }
    if (length <= 0) return 0;
    order.resize(static_cast<std::size_t>(length));
    std::istringstream words(order);
    std::string verb;
    int number = 0;
    words >> verb >> number;
    if (verb == "exit") return 0;
    std::string answer;
    try {
      answer = obey(object, verb, number);
    } catch (const std::exception& error) {
      answer = error.what();
    }
    if (::send(STDIN_FILENO, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return 2;
  }
}

int run(const std::string& kind, const char* name) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close(3);  // ExecPeer's progress
  if (kind == "Lock") return serve<Lock>(name);
  if (kind == "RLock") return serve<RLock>(name);
  if (kind == "Semaphore") return serve<Semaphore>(name);
  if (kind == "BoundedSemaphore") return serve<BoundedSemaphore>(name);
  return 2;
}

}  // namespace
}  // namespace crucible::testing

int main(int argc, char** argv) { return argc == 3 ? crucible::testing::run(argv[1], argv[2]) : 2; }
