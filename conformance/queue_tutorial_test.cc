// The tutorial programs T4 and T5, as a first reader would write them, and what they must show.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conformance/queue_support.h"
#include "conformance/tutorial_support.h"
#include "core/event.h"
#include "core/process.h"

namespace crucible::testing {
namespace {

class TutorialQueue : public QueueTest {};

TEST_P(TutorialQueue, T4_ThreeProcessesPutAListEach) {
  const std::string text = output_of([] {
    const QueueHandle queue = make();
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 3; ++i) {
      processes.push_back(
          std::make_unique<Process>([](Queue& to, const std::string& name) { to.put(Object::list(42, name, "hello")); },
                                    std::ref(*queue), "user_" + std::to_string(i)));
      processes.back()->start();
    }
    for (int i = 0; i < 3; ++i) std::cout << queue->get<Object>().to_string() << '\n';
    for (const auto& process : processes) process->join();
    EXPECT_TRUE(queue->empty());
  });
  std::vector<std::string> lines = lines_of(text);
  std::ranges::sort(lines);
  EXPECT_EQ(lines, (std::vector<std::string>{"[42, \"user_0\", \"hello\"]", "[42, \"user_1\", \"hello\"]",
                                             "[42, \"user_2\", \"hello\"]"}));
}

TEST_P(TutorialQueue, T5_AConsumerTakesUntilTheProducerHasEnded) {
  const std::string text = output_of([] {
    const QueueHandle queue = make();
    crucible::Event ended;
    Process producer(
        [](Queue& to) {
          for (int i = 0; i < 10; ++i) to.put(i);
        },
        std::ref(*queue));
    Process consumer(
        [](Queue& from, crucible::Event& no_more) {
          for (;;) {
            const bool last_look = no_more.is_set();
            if (const std::optional<int> number = from.try_get_for<int>(last_look ? 0ms : 5ms)) {
              std::cout << *number << '\n';
            } else if (last_look) {
              return;
            }
          }
        },
        std::ref(*queue), std::ref(ended));
    producer.start();
    consumer.start();
    producer.join();
    ended.set();
    consumer.join();
    EXPECT_EQ(consumer.exit_code(), 0);
  });
  EXPECT_EQ(text, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

}  // namespace

CRUCIBLE_INSTANTIATE_QUEUE_FORMS(TutorialQueue);

}  // namespace crucible::testing
