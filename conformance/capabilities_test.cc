// Compares what the code declares with the reviewed table capabilities.json, so that no capability is quietly
// withdrawn when a test gets hard, nor claimed without review.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "api/mechanism.h"
#include "conformance/declared.h"

namespace crucible::testing {
namespace {

using Json = nlohmann::json;

Json declared_by_all() {
  Json all = Json::object();
  for (const Mechanism& mechanism : mechanisms()) all[mechanism.name] = declared(mechanism);
  return all;
}

Json reviewed() {
  std::ifstream file(CRUCIBLE_CAPABILITIES_FILE);
  return Json::parse(file);
}

// What of `one` is not the same in `other`, as lines `unix_socket.pipe.pollable: true, but false in ...`.
std::string difference(const Json& one, const Json& other, const std::string& other_name) {
  std::string lines;
  const Json here = one.flatten();
  const Json there = other.flatten();
  for (const auto& [path, value] : here.items()) {
    if (there.contains(path) && there.at(path) == value) continue;
    lines += path + ": " + value.dump() + ", but " + (there.contains(path) ? there.at(path).dump() : "missing") +
             " in " + other_name + "\n";
  }
  return lines;
}

// The rows of `table` for mechanisms that `other` has too.
Json common_rows(const Json& table, const Json& other) {
  Json common = Json::object();
  for (const auto& [name, row] : table.items()) {
    if (other.contains(name)) common[name] = row;
  }
  return common;
}

std::string names_only_in(const Json& one, const Json& other) {
  std::string names;
  for (const auto& [name, row] : one.items()) {
    if (!other.contains(name)) names += " " + name;
  }
  return names;
}

TEST(Capabilities, EveryDeclarationIsAsReviewed) {
  const Json declarations = common_rows(declared_by_all(), reviewed());
  ASSERT_FALSE(declarations.empty());
  EXPECT_EQ(difference(declarations, reviewed(), "capabilities.json"), "");
}

TEST(Capabilities, EverythingReviewedIsDeclared) {
  const Json table = common_rows(reviewed(), declared_by_all());
  ASSERT_FALSE(table.empty());
  EXPECT_EQ(difference(table, declared_by_all(), "the code"), "");
}

// A mechanism from elsewhere runs before anybody reviewed it, and one whose library is missing is no contradiction;
// both are said.
TEST(Capabilities, MechanismsAndReviewedRowsMatch) {
  const std::string unreviewed = names_only_in(declared_by_all(), reviewed());
  const std::string absent = names_only_in(reviewed(), declared_by_all());
  if (!unreviewed.empty()) GTEST_SKIP() << "without a row in capabilities.json:" << unreviewed;
  if (!absent.empty()) GTEST_SKIP() << "reviewed, but not in this build:" << absent;
}

TEST(Capabilities, ComparisonSeesEveryKindOfChange) {
  const Json table = declared_by_all();
  const std::string name = table.begin().key();
  Json flipped = table;
  flipped[name]["pipe"]["pollable"] = !table[name]["pipe"]["pollable"].get<bool>();
  Json smaller = table;
  smaller[name]["pipe"]["max_message_bytes"] = 1;
  Json without = table;
  without.erase(name);
  Json shorter = table;
  shorter[name]["pipe"].erase("storage_bytes");
  for (const Json& changed : {flipped, smaller, without, shorter}) EXPECT_NE(difference(table, changed, "it"), "");
  EXPECT_EQ(difference(table, table, "it"), "");
}

}  // namespace
}  // namespace crucible::testing
