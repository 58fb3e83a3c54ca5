// SharedName: one file of shared memory under a name, as core/shared_block builds on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/fd.h"

namespace crucible {

/// What stands in kDirectory is a directory `crucible.NAME` with one file, named by its random id. Whoever uses it
/// holds a shared flock(2) on the file, the kernel ends it with its process, and its forks share it; so the file is
/// dead when it can be locked exclusively. A name is taken over or removed only by removing the file of the very id
/// that was found dead, or that was asked for: nobody can remove what came after it, whoever is late.
class SharedName {
 public:
  static constexpr std::string_view kDirectory = "/dev/shm";
  static constexpr std::size_t kLongest = 200;  ///< characters of a name

  /// A file of `bytes` zeros, mode 0600, that has no name yet and is used by this process; publish() gives it `name`.
  /// Throws BadArgument (not a name), std::system_error (no space, descriptors).
  static std::unique_ptr<SharedName> prepare(const std::string& name, std::size_t bytes);
  /// Gives it its name at once and whole. Throws Exists: somebody who lives has the name.
  void publish();
  /// Throws NotFound, BadArgument (not a name), Auth (another user's), std::system_error. With an `id`, whatever else
  /// has the name is NotFound too.
  static std::unique_ptr<SharedName> open(const std::string& name, bool writable, std::string_view id = {});
  /// The last user removes the name.
  ~SharedName();
  SharedName(const SharedName&) = delete;
  SharedName& operator=(const SharedName&) = delete;

  /// Removes the name; whoever uses the file goes on. Throws NotFound if it is gone or another's.
  void unlink() const;

  const std::string& name() const noexcept { return name_; }
  const std::string& id() const noexcept { return id_; }
  int descriptor() const noexcept { return file_.get(); }
  /// The file's length now.
  std::size_t bytes() const;

  /// 32 hexadecimal digits that were never used before.
  static std::string random_id();
  /// Removes what the dead have left, under whatever name. Done by the first prepare() or open() of each process.
  static void sweep() noexcept;

 private:
  SharedName(std::string name, std::string folder) : name_(std::move(name)), folder_(std::move(folder)) {}
  std::string path() const { return folder_ + "/" + id_; }
  bool make_file();
  bool use();
  bool take(bool writable);

  std::string name_;
  std::string folder_;
  std::string id_;
  Fd file_;
};

}  // namespace crucible
