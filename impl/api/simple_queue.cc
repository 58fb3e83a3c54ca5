#include "api/simple_queue.h"

namespace crucible {

bool SimpleQueue::empty() { return queue_->empty(); }

void SimpleQueue::close() noexcept { queue_->close(); }

}  // namespace crucible
