// A footprint is what objects hold, in all processes, and nothing of what one program has anyway.
#include "support/footprint.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "core/fd.h"
#include "support/inherited.h"
#include "support/worker.h"

namespace crucible::bench {
namespace {

constexpr std::size_t kObject = 256U << 10U;

double metric(const Json& found, const char* key) { return found["metrics"][key].get<double>(); }

TEST(Footprint, CountsWhatIsSharedOnceAndNotWhatIsThereAnyway) {
  const Json found = study_footprint([](int count, const std::function<void()>& look) {
    std::vector<std::byte> once(8 * kObject, std::byte{1});
    const auto shared =
        make_inherited<std::byte>(static_cast<std::size_t>(count) * kObject, [](std::byte* at) { *at = std::byte{1}; });
    std::vector<Fd> descriptors;
    for (int i = 0; i < 2 * count; ++i) descriptors.emplace_back(memfd_create("test", MFD_CLOEXEC));
    Worker worker(std::nullopt, [&](Post& post) {
      (void)post.next_block();
      const std::byte* last = shared.get() + static_cast<std::size_t>(count) * kObject;
      std::size_t sum = 0;
      for (const std::byte* at = shared.get(); at < last; at += 4096) sum += std::to_integer<std::size_t>(*at);
      post.answer({.usage = {}, .cpu_ns = static_cast<std::int64_t>(sum), .end_ns = 0});
      (void)post.next_block();
    });
    worker.order(1);
    (void)worker.await();
    look();
  });
  EXPECT_NEAR(metric(found, "memory_bytes_per_object"), kObject, kObject * 0.05);
  EXPECT_DOUBLE_EQ(metric(found, "descriptors_per_object"), 4);  // two, in two processes
  EXPECT_DOUBLE_EQ(metric(found, "processes_per_object"), 0);
}

TEST(Footprint, CountsProcesses) {
  const Json found = study_footprint([](int count, const std::function<void()>& look) {
    std::vector<std::unique_ptr<Worker>> workers;
    for (int i = 0; i < count; ++i) {
      workers.push_back(std::make_unique<Worker>(std::nullopt, [](Post& post) { (void)post.next_block(); }));
    }
    look();
  });
  EXPECT_DOUBLE_EQ(metric(found, "processes_per_object"), 1);
}

}  // namespace
}  // namespace crucible::bench
