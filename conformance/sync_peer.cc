// A program that has nothing in common with the test that starts it but names: sync_peer <verb> <name>.
#include <exception>
#include <iostream>
#include <string>

#include "core/barrier.h"
#include "core/condition.h"
#include "core/event.h"
#include "core/lock.h"

namespace {

using namespace crucible;

// Answers an event by another, passes a barrier, is notified and notifies.
int meet(const std::string& name) {
  Event question = Event::open(name + "-question");
  Event answer = Event::open(name + "-answer");
  if (!question.wait()) return 2;
  answer.set();

  Barrier barrier = Barrier::open(name + "-barrier");
  if (barrier.parties() != 2) return 3;
  barrier.wait();

  Lock lock = Lock::open(name + "-lock");
  Condition condition = Condition::open(name + "-condition", lock);
  if (condition.acquire() != Status::kOk || condition.wait() != Status::kOk) return 4;
  condition.notify_all();
  condition.release();
  return 0;
}

int wait_at_barrier(const std::string& name) {
  Barrier::open(name + "-barrier").wait();
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) return 1;
  return argv[1] == std::string("meet") ? meet(argv[2]) : wait_at_barrier(argv[2]);
} catch (const std::exception& error) {
  std::cerr << argv[0] << ": " << error.what() << '\n';
  return 1;
}
