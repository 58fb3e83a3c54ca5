// Undertaker: closes connections where that makes nobody wait.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "api/connection.h"

namespace crucible {

/// Closing may take its time (ZeroMQ flushes), so it is left to a thread, started with the first connection. Lasts as
/// long as the process: it is never stopped.
class Undertaker {
 public:
  void take(std::unique_ptr<Connection> connection);

 private:
  struct Work {
    std::mutex mutex;
    std::condition_variable arrived;
    std::vector<std::unique_ptr<Connection>> connections;
  };
  static void run(Work& work);

  Work* work_ = nullptr;  // the thread's, for good
};

}  // namespace crucible
