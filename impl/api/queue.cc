#include "api/queue.h"

namespace crucible {

std::size_t Queue::size() {
  std::size_t messages = 0;
  (void)finish(count(messages), "size");
  return messages;
}

bool Queue::empty() { return size() == 0; }

bool Queue::full() {
  bool is_full = false;
  (void)finish(check_full(is_full), "full");
  return is_full;
}

void Queue::done() { (void)finish(task_done(), "done"); }

void Queue::join() { (void)finish(join_until(Deadline::never()), "join"); }

}  // namespace crucible
