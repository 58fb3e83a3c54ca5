#include "core/function.h"

#include <fcntl.h>

#include <map>

#include "api/mechanism.h"
#include "api/status.h"

namespace crucible {
namespace {

// Never destroyed: functions are globals, whose order of destruction nobody knows.
std::map<std::string, Unpacker, std::less<>>& functions() {
  static auto* const all = new std::map<std::string, Unpacker, std::less<>>;
  return *all;
}

std::map<std::string, NamedTask, std::less<>>& tasks() {
  static auto* const all = new std::map<std::string, NamedTask, std::less<>>;
  return *all;
}

}  // namespace

void register_task(std::string_view name, const NamedTask& task) { tasks().emplace(name, task); }

const NamedTask* find_task(std::string_view name) {
  const auto found = tasks().find(name);
  return found == tasks().end() ? nullptr : &found->second;
}

void register_function(std::string_view name, Unpacker unpack) {
  if (!functions().emplace(name, std::move(unpack)).second) {
    throw BadArgument("Function: there is one named '" + std::string(name) + "' already");
  }
}

const Unpacker* find_function(std::string_view name) {
  const auto found = functions().find(name);
  return found == functions().end() ? nullptr : &found->second;
}

void PackedArguments::put_end(const Connection* end) {
  if (end == nullptr) throw BadArgument("start: an argument is no end of a pipe, but null");
  Handle handle = end->handle();
  descriptors_.insert(descriptors_.end(), handle.descriptors.begin(), handle.descriptors.end());
  items_.push_back({.value = std::move(handle.state),
                    .mechanism = std::string(end->mechanism()),
                    .descriptors = static_cast<std::uint32_t>(handle.descriptors.size())});
}

void PackedArguments::put_descriptor(const Fd& descriptor) {
  if (!descriptor) throw BadArgument("start: an argument is no open descriptor");
  descriptors_.push_back(descriptor.get());
  items_.push_back({.value = {}, .mechanism = {}, .descriptors = 1});
}

void PackedArguments::receive_descriptors(int first) {
  for (const Item& item : items_) {
    for (std::uint32_t i = 0; i < item.descriptors; ++i) received_.emplace_back(first++);
  }
  for (const Fd& descriptor : received_) {
    if (fcntl(descriptor.get(), F_SETFD, FD_CLOEXEC) != 0) throw_errno("fcntl(F_SETFD)");
  }
}

PackedArguments::Item& PackedArguments::next() {
  if (taken_ == items_.size()) throw EncodingError("the function takes more arguments than were given");
  return items_[taken_++];
}

std::span<Fd> PackedArguments::next_descriptors(const Item& item) {
  if (item.descriptors > received_.size() - descriptors_taken_) throw EncodingError("descriptors are missing");
  const std::span<Fd> mine = std::span(received_).subspan(descriptors_taken_, item.descriptors);
  descriptors_taken_ += item.descriptors;
  return mine;
}

std::unique_ptr<Connection> PackedArguments::take_end() {
  Item& item = next();
  if (item.mechanism.empty()) throw EncodingError("the argument is no end of a pipe");
  const std::span<Fd> mine = next_descriptors(item);
  Handle handle = {.descriptors = {}, .state = std::move(item.value)};
  for (const Fd& descriptor : mine) handle.descriptors.push_back(descriptor.get());
  std::unique_ptr<Connection> end = context(item.mechanism).mechanism().adopt(handle);
  for (Fd& descriptor : mine) (void)descriptor.release();
  return end;
}

Fd PackedArguments::take_descriptor() {
  const Item& item = next();
  if (!item.mechanism.empty() || item.descriptors != 1) throw EncodingError("the argument is no descriptor");
  return std::move(next_descriptors(item).front());
}

}  // namespace crucible
