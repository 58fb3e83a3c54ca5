// What the tests of Queue share: every mechanism in every form that it has of it.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/mechanism.h"
#include "api/queue.h"
#include "conformance/pipe_support.h"
#include "conformance/support/fixture.h"

namespace crucible::testing {

/// Closes a queue, then the handle of the one that it was opened beside.
class QueueCloser {
 public:
  QueueCloser() = default;
  explicit QueueCloser(std::shared_ptr<Queue> creator) noexcept : creator_(std::move(creator)) {}
  void operator()(Queue* queue) noexcept {
    delete queue;
    creator_.reset();
  }

 private:
  std::shared_ptr<Queue> creator_;
};
using QueueHandle = std::unique_ptr<Queue, QueueCloser>;

/// A form of a mechanism's queue and the way its handles are made: by inheritance, or with one thing changed.
struct QueueVariant {
  const Mechanism* mechanism;
  const QueueForm* form;
  bool named = false;                     ///< opened by its address, in the process that created it
  std::optional<WaitStrategy> wait = {};  ///< with this strategy instead of the default

  /// `shm_ring`, `shm_ring_spin`, `shm_ring_composed`, `unix_socket_composed_named`.
  std::string name() const;
  QueueHandle make(QueueOptions options) const;
};
/// Every form of every mechanism in every way it has.
std::vector<QueueVariant> all_queue_variants();
/// Every form of every mechanism once.
std::vector<QueueVariant> all_queue_forms();

/// A test that runs once per variant, CRUCIBLE_INSTANTIATE_QUEUES(Suite) after its TEST_Ps, or once per form,
/// CRUCIBLE_INSTANTIATE_QUEUE_FORMS(Suite), for what has nothing to do with how handles are made.
class QueueTest : public CleanFixture, public ::testing::WithParamInterface<QueueVariant> {
 protected:
  static const Mechanism& mechanism() { return *GetParam().mechanism; }
  static const QueueForm& form() { return *GetParam().form; }
  static const Capabilities& capabilities() { return form().capabilities; }
  static QueueHandle make(const QueueOptions& options = {}) { return GetParam().make(options); }
  /// Every putting form in turn; `which` chooses.
  static Status put_by(Queue& queue, ByteView message, std::size_t which);
  /// Every getting form in turn.
  static Status get_by(Queue& queue, Bytes& message, std::size_t which);
  /// Processes that this process and those it has begotten have now, but for those in `known`.
  static std::vector<pid_t> new_descendants(const std::vector<pid_t>& known);
  /// Returns when they are dead.
  void kill_all(const std::vector<pid_t>& pids);
  /// To be called by a test that kills who has names: the queue of a new process must remove them.
  void dead_leave_names() noexcept { dead_leave_names_ = true; }

  void warm_up() override;
  /// Whatever carried the queue must end by itself once its last handle is gone.
  void TearDown() override;

 private:
  bool dead_leave_names_ = false;
};

inline void put(Queue& queue, ByteView message) { EXPECT_EQ(queue.put_bytes(message), Status::kOk); }
inline void put(Queue& queue, std::string_view message) { put(queue, as_bytes(message)); }

inline Bytes get(Queue& queue) {
  Bytes message;
  EXPECT_EQ(queue.get_bytes(message), Status::kOk);
  return message;
}
inline std::string get_text(Queue& queue) { return std::string(as_text(get(queue))); }

inline Status next_status(Queue& queue, Deadline deadline = Deadline::immediate()) {
  Bytes message;
  return queue.get_bytes(message, deadline);
}

/// Puts pattern(size, first), pattern(size, first + 1), ... until the queue is full, at most `most`; how many. A
/// transport may go on making room for a moment after it first says that it is full.
std::size_t fill(Queue& queue, std::size_t size, std::size_t most, std::uint64_t first = 0);
/// Takes them out again.
void expect_filled(Queue& queue, std::size_t size, std::size_t count, std::uint64_t first = 0);

}  // namespace crucible::testing

#define CRUCIBLE_INSTANTIATE_QUEUES_OVER(suite, variants) \
  INSTANTIATE_TEST_SUITE_P(                               \
      , suite, ::testing::ValuesIn(variants),             \
      [](const ::testing::TestParamInfo<::crucible::testing::QueueVariant>& row) { return row.param.name(); })
#define CRUCIBLE_INSTANTIATE_QUEUES(suite) \
  CRUCIBLE_INSTANTIATE_QUEUES_OVER(suite, ::crucible::testing::all_queue_variants())
#define CRUCIBLE_INSTANTIATE_QUEUE_FORMS(suite) \
  CRUCIBLE_INSTANTIATE_QUEUES_OVER(suite, ::crucible::testing::all_queue_forms())
