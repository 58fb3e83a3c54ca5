// Clauses W13 to W18 and H3 to H5: exceptions of tasks, callbacks, and what cannot travel.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "api/remote_error.h"
#include "conformance/pool_support.h"
#include "conformance/support/capture.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class PoolErrors : public PoolTest {};

class Peculiar : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// Lists in lists; 200 are more than the codec takes.
struct Nested {
  int depth = 0;
  template <class Packer>
  void msgpack_pack(Packer& out) const {
    for (int i = 0; i < depth; ++i) out.pack_array(1);
    out.pack_nil();
  }
  void msgpack_unpack(const msgpack::object& /*in*/) {}
};
Nested nested(int depth) { return {depth}; }
/// Can be sent, and received nowhere but where it was made.
struct OneWay {
  pid_t made_by = ::getpid();
  template <class Packer>
  void msgpack_pack(Packer& out) const {
    out.pack_int64(made_by);
  }
  void msgpack_unpack(const msgpack::object& in) {
    if (in.as<pid_t>() != ::getpid()) throw std::domain_error("from elsewhere");
  }
};

template <class E, class F>
std::string thrown_by(Pool& pool, F task) {
  try {
    (void)pool.apply(task);
  } catch (const E& error) {
    const auto* const info = dynamic_cast<const RemoteInfo*>(&error);
    EXPECT_NE(info, nullptr) << error.what();
    if (info != nullptr) {
      EXPECT_TRUE(info->where().starts_with("PoolWorker-1, process ")) << info->where();
    }
    return error.what();
  } catch (const std::exception& other) {
    ADD_FAILURE() << "another exception: " << other.what();
  }
  return "nothing";
}

TEST_P(PoolErrors, W13_StandardExceptionsArriveAsTheirType) {
  const auto pool = make(1);
  EXPECT_EQ(thrown_by<std::out_of_range>(*pool, [] { throw std::out_of_range("far"); }), "far");
  EXPECT_EQ(thrown_by<std::invalid_argument>(*pool, [] { throw std::invalid_argument("bad"); }), "bad");
  EXPECT_EQ(thrown_by<std::bad_alloc>(*pool, [] { throw std::bad_alloc(); }), "std::bad_alloc");
  EXPECT_EQ(thrown_by<BadArgument>(*pool, [] { throw BadArgument("here"); }), "BadArgument: here");
  try {
    pool->apply([] { throw std::system_error(ENOENT, std::generic_category(), "open"); });
    ADD_FAILURE();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_EQ(std::string(error.what()), std::system_error(ENOENT, std::generic_category(), "open").what());
  }
}

TEST_P(PoolErrors, W13_OtherExceptionsArriveWithTypeMessageAndOrigin) {
  const auto pool = make(1);
  const std::string text = thrown_by<RemoteError>(*pool, [] { throw Peculiar("odd"); });
  EXPECT_NE(text.find("Peculiar: odd"), std::string::npos) << text;
  EXPECT_NE(text.find("PoolWorker-1"), std::string::npos) << text;
  EXPECT_THROW(pool->apply([] { throw Peculiar("odd"); }), RemoteError);
}

TEST_P(PoolErrors, W13_AnErrorOfTheCallersInputIsNotRemote) {
  const auto pool = make(1);
  const auto input = std::views::iota(0, 3) |
                     std::views::transform([](int i) { return i == 1 ? throw std::out_of_range("mine") : i; });
  try {
    (void)pool->map(&add_hundred, input);
    ADD_FAILURE();
  } catch (const std::out_of_range& error) {
    EXPECT_EQ(dynamic_cast<const RemoteInfo*>(&error), nullptr);
  }
}

TEST_P(PoolErrors, W14_AMapFailsWhenAllOfItHasRun) {
  const auto pool = make(2);
  const auto task = [](int number) {
    add(0);
    if (number % 4 == 1) throw std::out_of_range(std::to_string(number));
    return number;
  };
  std::vector<int> input(20);
  std::iota(input.begin(), input.end(), 0);
  for (const std::ptrdiff_t chunk : {1, 3}) {
    Board::clear();
    try {
      (void)pool->map(task, input, chunk);
      ADD_FAILURE();
    } catch (const std::out_of_range& first) {
      EXPECT_EQ(first.what(), std::string("1"));
    }
    EXPECT_EQ(cell(0), 20);
  }
}

TEST_P(PoolErrors, W14_LongErrorsDoNotBlockTheEnd) {
  const auto pool = make(2);
  const auto task = [](int) -> int { throw std::runtime_error(std::string(1U << 20U, 'x')); };
  const auto result = pool->map_async(task, std::vector<int>{1, 2}, 1);
  pool->close();
  pool->join();
  EXPECT_THROW((void)result.get(), std::runtime_error);
}

TEST_P(PoolErrors, W15_OneCallbackIsCalledOnce) {
  const auto pool = make(2);
  std::atomic<int> calls = 0;
  std::vector<int> results;
  std::string error_text;
  const auto fail = [&calls](auto&&...) { calls += 100; };
  pool->map_async(
          &add_hundred, std::vector<int>{1, 2, 3}, 1,
          [&](std::vector<int> all) {
            results = std::move(all);
            ++calls;
          },
          fail)
      .wait();
  EXPECT_EQ(results, (std::vector<int>{101, 102, 103}));
  pool->apply_async([]() -> int { throw std::out_of_range("gone"); }, {}, fail,
                    [&](const std::exception& error) {
                      error_text = error.what();
                      ++calls;
                    })
      .wait();
  EXPECT_EQ(error_text, "gone");
  pool->apply_async([] {}, {}, [&] { ++calls; }, fail).wait();
  pool->close();
  pool->join();
  EXPECT_EQ(calls, 3);
}

TEST_P(PoolErrors, W16_CallbacksRunHereBeforeAnybodySeesTheResult) {
  const auto pool = make(1);
  const pid_t here = ::getpid();
  std::atomic<bool> called = false;
  const auto result = pool->apply_async(&add_hundred, {1}, [&](int) {
    EXPECT_EQ(::getpid(), here);
    Event().wait_for(20ms);  // who waited would see the result meanwhile
    called = true;
  });
  const std::thread::id mine = std::this_thread::get_id();
  EXPECT_EQ(result.get(), 101);
  EXPECT_TRUE(called);
  std::thread::id theirs = mine;
  pool->apply_async([] {}, {}, [&] { theirs = std::this_thread::get_id(); }).wait();
  EXPECT_NE(theirs, mine);
}

TEST_P(PoolErrors, W16_ACallbackMayUseThePool) {
  const auto pool = make(1);
  int inner = 0;
  pool->apply_async(&add_hundred, {1}, [&](int result) { inner = pool->apply(&add_hundred, {result}); }).wait();
  EXPECT_EQ(inner, 201);
}

TEST_P(PoolErrors, W17_ArgumentsThatCannotTravelAreTheCallersError) {
  const auto pool = make(1);
  const auto task = [](Nested) {};
  EXPECT_THROW((void)pool->apply_async(task, {Nested{200}}), EncodingError);
  EXPECT_THROW(pool->map(task, std::vector<Nested>{{1}, {200}}), EncodingError);
  EXPECT_EQ(pool->statistics().done, 0U);
  EXPECT_EQ(pool->apply(&add_hundred, {1}), 101);
}

TEST_P(PoolErrors, W18_AResultThatCannotTravelCostsNoWorker) {
  const auto pool = make(2);
  const std::vector<pid_t> before = pool->workers();
  for (int i = 0; i < 20; ++i) EXPECT_THROW((void)pool->apply(&nested, {200}), EncodingError);
  auto mapped = pool->imap(&nested, std::vector<int>{1, 200, 2}, 3);
  EXPECT_TRUE(mapped.next());
  EXPECT_THROW((void)mapped.next(), EncodingError);
  EXPECT_TRUE(mapped.next());
  EXPECT_EQ(pool->workers(), before);
}

TEST_P(PoolErrors, H3_AThrownObjectThatIsNoExceptionArrives) {
  const auto pool = make(1);
  const pid_t before = pool->workers().front();
  try {
    pool->apply([] { throw 42; });
    ADD_FAILURE();
  } catch (const RemoteError& error) {
    EXPECT_EQ(error.type(), "int");
  }
  EXPECT_EQ(pool->apply(&worker_pid), before);
}

TEST_P(PoolErrors, H4_AThrowingCallbackIsReportedOnceAndHarmsNobody) {
  Capture errors;
  Peer program([&] {
    errors.replace(STDERR_FILENO);
    const auto pool = make(1);
    const auto first = pool->apply_async(&add_hundred, {1}, [](int) { throw std::out_of_range("in a callback"); });
    const auto second = pool->apply_async(&add_hundred, {2}, [](int) { throw 42; });
    const auto third =
        pool->apply_async([] { throw 1; }, {}, {}, [](const std::exception&) { throw std::logic_error("again"); });
    EXPECT_EQ(first.get(), 101);
    EXPECT_EQ(second.get(), 102);
    EXPECT_THROW(third.get(), RemoteError);
    EXPECT_EQ(pool->apply(&add_hundred, {3}), 103);
  });
  const std::string text = errors.text();
  program.join();
  for (const std::string part : {"std::out_of_range: in a callback\n", "int", "std::logic_error: again\n"}) {
    const std::size_t at = text.find(part);
    EXPECT_NE(at, std::string::npos) << text;
    EXPECT_EQ(text.find(part, at + 1), std::string::npos) << text;
  }
}

TEST_P(PoolErrors, H5_AResultThatCannotBeDecodedIsItsOwnTasksError) {
  const auto pool = make(1);
  const auto bad = pool->apply_async([] { return OneWay(); });
  EXPECT_THROW((void)bad.get(), std::domain_error);
  EXPECT_THROW((void)bad.get(), std::domain_error);
  EXPECT_FALSE(bad.successful());
  std::string text;
  pool->apply_async([] { return OneWay(); }, {}, [](OneWay) { ADD_FAILURE(); },
                    [&](const std::exception& error) { text = error.what(); })
      .wait();
  EXPECT_EQ(text, "from elsewhere");
  EXPECT_EQ(pool->apply(&add_hundred, {3}), 103);
}

}  // namespace

CRUCIBLE_INSTANTIATE_POOLS(PoolErrors);

}  // namespace crucible::testing
