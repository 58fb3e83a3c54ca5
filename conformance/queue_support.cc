#include "conformance/queue_support.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "conformance/support/peer.h"
#include "conformance/support/proc.h"

namespace crucible::testing {

std::string QueueVariant::name() const {
  std::string name(mechanism->name);
  if (form->name != "native") name.append("_").append(form->name);
  if (named) name += "_named";
  if (wait) name.append("_").append(to_string(*wait));
  return name;
}

QueueHandle QueueVariant::make(QueueOptions options) const {
  if (wait && !options.wait) options.wait = wait;
  if (!named) return QueueHandle(form->create({}, options).release());
  std::shared_ptr<Queue> creator = form->create(std::string(mechanism->scheme) + ":", options);
  std::unique_ptr<Queue> opened = form->open(creator->address(), {.wait = options.wait}, Deadline::never());
  return {opened.release(), QueueCloser(std::move(creator))};
}

std::vector<QueueVariant> all_queue_variants() {
  std::vector<QueueVariant> all;
  for (const QueueVariant& plain : all_queue_forms()) {
    all.push_back(plain);
    if (!plain.mechanism->scheme.empty()) {
      all.push_back({.mechanism = plain.mechanism, .form = plain.form, .named = true});
    }
    for (std::size_t i = 1; i < plain.form->waits.size(); ++i) {
      all.push_back({.mechanism = plain.mechanism, .form = plain.form, .wait = plain.form->waits[i]});
    }
  }
  return all;
}

std::vector<QueueVariant> all_queue_forms() {
  std::vector<QueueVariant> all;
  for (const Mechanism& mechanism : mechanisms()) {
    for (const QueueForm& form : mechanism.queues) all.push_back({.mechanism = &mechanism, .form = &form});
  }
  return all;
}

Status QueueTest::put_by(Queue& queue, ByteView message, std::size_t which) {
  switch (which % 4) {
    case 0: return queue.put_bytes(message);
    case 1: return queue.try_put_bytes(message);
    case 2: return queue.put_bytes_for(message, 1h);
    default: break;
  }
  std::size_t count = 0;
  const Status status = queue.put_many({&message, 1}, count, Deadline::after(1h));
  EXPECT_EQ(count, status == Status::kOk ? 1U : 0U);
  return status;
}

Status QueueTest::get_by(Queue& queue, Bytes& message, std::size_t which) {
  switch (which % 5) {
    case 0: return queue.get_bytes(message);
    case 1: return queue.try_get_bytes(message);
    case 2: return queue.get_bytes_for(message, 1h);
    case 3: {
      std::size_t length = 0;
      message.resize(1U << 16U);
      const Status status = queue.get_bytes_into(message, length);
      message.resize(length);
      return status;
    }
    default: break;
  }
  std::vector<Bytes> messages;
  const Status status = queue.get_many(messages, 1);
  EXPECT_EQ(messages.size(), status == Status::kOk ? 1U : 0U);
  if (!messages.empty()) message = std::move(messages.front());
  return status;
}

void QueueTest::warm_up() {
  CleanFixture::warm_up();
  (void)make();
  await_orphans();
}

std::vector<pid_t> QueueTest::new_descendants(const std::vector<pid_t>& known) {
  std::vector<pid_t> all = proc::descendants_of(::getpid());
  std::erase_if(all, [&](pid_t pid) { return std::ranges::find(known, pid) != known.end(); });
  return all;
}

void QueueTest::kill_all(const std::vector<pid_t>& pids) {
  dead_leave_names();
  for (const pid_t pid : pids) EXPECT_EQ(::kill(pid, SIGKILL), 0);
  proc::await_gone(pids);
}

void QueueTest::TearDown() {
  if (!HasFailure()) await_orphans();
  if (!HasFailure() && dead_leave_names_) {
    Peer next([] {
      const auto queue = form().create(mechanism().scheme.empty() ? "" : std::string(mechanism().scheme) + ":", {});
      put(*queue, "used");
      EXPECT_EQ(get_text(*queue), "used");
    });
    next.join();
    await_orphans();
  }
  CleanFixture::TearDown();
}

std::size_t fill(Queue& queue, std::size_t size, std::size_t most, std::uint64_t first) {
  for (std::size_t count = 0; count < most; ++count) {
    const Bytes message = pattern(size, first + count);
    Status status = queue.try_put_bytes(message);
    if (status == Status::kTimeout) status = queue.put_bytes_for(message, 50ms);
    if (status == Status::kTimeout) return count;
    EXPECT_EQ(status, Status::kOk);
  }
  return most;
}

void expect_filled(Queue& queue, std::size_t size, std::size_t count, std::uint64_t first) {
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_TRUE(same(get(queue), pattern(size, first + i))) << "message " << i;
  }
}

}  // namespace crucible::testing
