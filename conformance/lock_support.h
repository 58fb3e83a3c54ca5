// What the tests of locks and semaphores share.
#pragma once

#include <gtest/gtest.h>

#include <thread>

#include "api/status.h"
#include "conformance/pipe_support.h"
#include "conformance/support/events.h"
#include "conformance/support/fixture.h"
#include "conformance/support/peer.h"
#include "core/lock.h"
#include "core/rlock.h"
#include "core/semaphore.h"

namespace crucible::testing {

class Locks : public CleanFixture {};
class LocksTiming : public CleanFixture {};
class Semaphores : public CleanFixture {};
class SemaphoresTiming : public CleanFixture {};
class LockKill : public CleanFixture {};

/// `body` for what Lock and RLock have in common.
template <class F>
void with_each_lock(F body) {
  {
    SCOPED_TRACE("Lock");
    Lock lock;
    body(lock);
  }
  SCOPED_TRACE("RLock");
  RLock lock;
  body(lock);
}

/// Another process that holds the lock until it is told to let go, or killed. The constructor returns once it does.
class Holder {
 public:
  template <class L>
  explicit Holder(L& lock)
      : peer_([this, &lock] {
          EXPECT_EQ(lock.acquire(), Status::kOk);
          held_.set();
          may_let_go_.wait();
          lock.release();
        }) {
    held_.wait();
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() { may_let_go_.set(); }

  void may_let_go() { may_let_go_.set(); }
  void let_go() {
    may_let_go_.set();
    peer_.join();
  }
  /// It is a zombie or gone when this returns.
  void kill() {
    peer_.kill();
    peer_.join();
  }
  Peer& peer() { return peer_; }

 private:
  Event held_;
  Event may_let_go_;
  Peer peer_;
};

/// `body` as another thread and as another process would run it.
template <class F>
void elsewhere(F body) {
  {
    SCOPED_TRACE("in another thread");
    std::thread(body).join();
  }
  SCOPED_TRACE("in another process");
  Peer(body).join();
}

}  // namespace crucible::testing
