#include "compose/pool_worker.h"

#include <stdio_ext.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "api/codec.h"
#include "api/pool_task.h"
#include "api/remote_error.h"
#include "api/status.h"
#include "core/function.h"
#include "core/process.h"

namespace crucible {
namespace {

using pool_wire::Call;
using pool_wire::Header;
using pool_wire::kBeforeArguments;
using pool_wire::kHeader;
using pool_wire::Order;
using pool_wire::Word;

// What stands in a stream's own buffer, which only its derived classes may look at.
struct Buffer : std::streambuf {
  static bool holds_output(const std::ostream& stream) {
    const std::streambuf* const buffer = stream.rdbuf();
    return buffer != nullptr && (buffer->*&Buffer::pptr)() != (buffer->*&Buffer::pbase)();
  }
};

// A flush of nothing takes as long as the rest of a short task.
bool has_unwritten_output() {
  return __fpending(stdout) != 0 || __fpending(stderr) != 0 || Buffer::holds_output(std::cout) ||
         Buffer::holds_output(std::clog);
}

class Worker {
 public:
  Worker(Connection& owner, pool_wire::Claims& claims) noexcept : owner_(owner), claims_(claims) {}

  bool say(Word word, std::uint64_t number, ByteView body = {}) {
    out_.resize(kHeader);
    pool_wire::write_header(out_.data(), static_cast<std::uint8_t>(word), 0, number);
    out_.insert(out_.end(), body.begin(), body.end());
    const bool is_sent = owner_.send_bytes(out_) == Status::kOk;
    if (out_.size() > wire::kLongestMessage) out_ = {};
    return is_sent;
  }
  bool say_failure(Word word, std::uint64_t number, Failure failure) {
    failure.where = current_process().name + ", " + failure.where;
    return say(word, number, encode(failure).view());
  }

  // False: the owner wants no more, or is gone.
  bool serve_once() {
    if (owner_.recv_bytes(in_) != Status::kOk || in_.size() < kHeader) return false;
    const Header header = pool_wire::read_header(in_.data());
    if (header.kind != static_cast<std::uint8_t>(Order::kTask) || in_.size() < kBeforeArguments) return false;
    Call call;
    std::memcpy(&call, in_.data() + kHeader, sizeof call);
    const ByteView rest = ByteView(in_).subspan(kBeforeArguments);
    if (header.id > rest.size()) return false;
    const std::string_view name = as_text(rest.first(header.id));
    const ByteView behind = rest.subspan(header.id);
    if ((header.flags & pool_wire::kIsLong) == 0) {
      const bool is_mine = claims_.claim(header.number);
      return !is_mine || run(header, call, name, behind);
    }
    std::uint64_t length = 0;
    if (behind.size() != sizeof length) return false;
    std::memcpy(&length, behind.data(), sizeof length);
    if (!receive_long(length)) return false;
    const bool go_on = !claims_.claim(header.number) || run(header, call, name, long_);
    long_ = {};
    return go_on;
  }

 private:
  bool receive_long(std::uint64_t length) {
    long_.resize(static_cast<std::size_t>(length));
    for (std::size_t at = 0; at < long_.size();) {
      const std::size_t most = std::min(pool_wire::kMostInline, long_.size() - at);
      std::size_t received = 0;
      if (owner_.recv_bytes_into(ByteSpan(long_).subspan(at, most), received) != Status::kOk) return false;
      at += received;
      if (received == 0 || !say(Word::kMore, 0)) return false;
    }
    return true;
  }

  static Encoded do_call(const Header& header, const Call& call, std::string_view name, ByteView arguments) {
    if (name.empty()) {
      const auto code = reinterpret_cast<PoolTask::Code>(call.code);
      return code(reinterpret_cast<const void*>(call.function), arguments);
    }
    const NamedTask* const task = find_task(name);
    if (task == nullptr) throw BadArgument("the worker has no function named '" + std::string(name) + "'");
    const bool is_chunk = (header.flags & pool_wire::kIsChunk) != 0;
    return (is_chunk ? task->chunk : task->one)(task->function, arguments);
  }

  bool run(const Header& header, const Call& call, std::string_view name, ByteView arguments) {
    const std::uint64_t task = header.number;
    std::optional<Encoded> result;
    std::optional<Failure> failure;
    try {
      result.emplace(do_call(header, call, name, arguments));
    } catch (...) {
      failure = failure_now();
    }
    if (has_unwritten_output()) flush_standard_streams();  // lest it be lost with the worker
    if (failure) return say_failure(Word::kThrew, task, *std::move(failure));
    return say(Word::kResult, task, result->view()) || refuse_long_result(task, result->view().size());
  }

  bool refuse_long_result(std::uint64_t task, std::size_t size) {
    Failure failure;
    try {
      throw BadLength("the result has " + std::to_string(size) + " bytes, more than a message can");
    } catch (const BadLength&) {
      failure = failure_now();
    }
    return say_failure(Word::kThrew, task, std::move(failure));
  }

  Connection& owner_;
  pool_wire::Claims& claims_;
  Bytes in_;
  Bytes out_;
  Bytes long_;
};

}  // namespace

int serve_pool(Connection& owner, std::uint64_t id, pool_wire::Claims& claims,
               const std::function<void()>& initializer) {
  Worker worker(owner, claims);
  if (!worker.say(Word::kHello, id)) return 0;
  if (initializer) {
    try {
      initializer();
    } catch (...) {
      (void)worker.say_failure(Word::kFailed, 0, failure_now());
      return 1;
    }
  }
  if (!worker.say(Word::kReady, 0)) return 0;
  while (worker.serve_once()) {
  }
  return 0;
}

}  // namespace crucible
