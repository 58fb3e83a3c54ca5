// What the tests of Manager share: every mechanism in every form that it has of it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "api/manager.h"
#include "api/mechanism.h"
#include "conformance/pipe_support.h"
#include "conformance/support/events.h"
#include "conformance/support/fixture.h"
#include "conformance/support/peer.h"

namespace crucible::testing {

struct ManagerVariant {
  const Mechanism* mechanism;
  const ManagerForm* form;
  /// `shm_ring`, or `boost_ipc_native`.
  std::string name() const {
    return std::string(mechanism->name) + (form->name == "composed" ? "" : "_" + std::string(form->name));
  }
};
inline std::vector<ManagerVariant> all_manager_forms() {
  std::vector<ManagerVariant> all;
  for (const Mechanism& mechanism : mechanisms()) {
    for (const ManagerForm& form : mechanism.managers) all.push_back({.mechanism = &mechanism, .form = &form});
  }
  return all;
}

/// Those that have dicts and lists only, without a server.
inline std::vector<ManagerVariant> all_stores() {
  std::vector<ManagerVariant> all;
  for (const Mechanism& mechanism : mechanisms()) {
    for (const ManagerForm& form : mechanism.stores) all.push_back({.mechanism = &mechanism, .form = &form});
  }
  return all;
}
/// For what needs no other object than dicts and lists.
inline std::vector<ManagerVariant> all_manager_forms_and_stores() {
  std::vector<ManagerVariant> all = all_manager_forms();
  for (const ManagerVariant& store : all_stores()) all.push_back(store);
  return all;
}

class ManagerTest : public CleanFixture, public ::testing::WithParamInterface<ManagerVariant> {
 protected:
  static const Mechanism& mechanism() { return *GetParam().mechanism; }
  static const ManagerForm& form() { return *GetParam().form; }
  static const Capabilities& capabilities() { return form().capabilities; }
  static std::unique_ptr<Manager> unstarted(const std::string& address = {}, const ManagerOptions& options = {}) {
    return form().make(address, options);
  }
  static std::unique_ptr<Manager> start(const ManagerOptions& options = {}, const std::string& address = {}) {
    std::unique_ptr<Manager> manager = unstarted(address, options);
    manager->start();
    return manager;
  }
  /// An address at which the system chooses.
  static std::string anywhere() { return std::string(mechanism().scheme) + ":"; }
  static std::unique_ptr<Manager> open(const std::string& address, const ManagerOptions& options = {}) {
    std::unique_ptr<Manager> manager = unstarted(address, options);
    EXPECT_TRUE(manager->connect());
    return manager;
  }
  /// Does something that only a server in good health does.
  static void expect_serves(const Manager& manager) {
    const managed::List<int> list = manager.list<int>({1, 2});
    list.append(3);
    EXPECT_EQ(list.copy(), (std::vector<int>{1, 2, 3}));
  }

  /// A peer that has done `begin` and lives until it is killed.
  template <class F>
  static std::unique_ptr<Peer> holder(F begin) {
    Event has_begun;
    auto peer = std::make_unique<Peer>([&] {
      begin();
      has_begun.set();
      for (;;) ::pause();
    });
    has_begun.wait();
    return peer;
  }
  static void end(std::unique_ptr<Peer> peer) {
    peer->kill();
    peer->join();
  }

  void warm_up() override {
    CleanFixture::warm_up();
    expect_serves(*start());
    await_orphans();
  }
  /// The server must end by itself once nobody can reach it.
  void TearDown() override {
    if (!HasFailure()) await_orphans();
    CleanFixture::TearDown();
  }
};

#define CRUCIBLE_INSTANTIATE_MANAGERS_OVER(suite, variants) \
  INSTANTIATE_TEST_SUITE_P(                                 \
      , suite, ::testing::ValuesIn(variants),               \
      [](const ::testing::TestParamInfo<::crucible::testing::ManagerVariant>& row) { return row.param.name(); })
#define CRUCIBLE_INSTANTIATE_MANAGERS(suite) \
  CRUCIBLE_INSTANTIATE_MANAGERS_OVER(suite, ::crucible::testing::all_manager_forms())
#define CRUCIBLE_INSTANTIATE_MANAGERS_AND_STORES(suite) \
  CRUCIBLE_INSTANTIATE_MANAGERS_OVER(suite, ::crucible::testing::all_manager_forms_and_stores())

}  // namespace crucible::testing
