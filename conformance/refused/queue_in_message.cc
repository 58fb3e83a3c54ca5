// Must not compile.
#include <memory>
#include <vector>

#include "api/queue.h"

void send_all(crucible::Queue& through, const std::vector<std::unique_ptr<crucible::Queue>>& queues) {
  through.put(queues);
}
