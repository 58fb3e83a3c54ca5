// Tether: the socket that ties the two ends of a connection, whose messages travel elsewhere, to each other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "api/bytes.h"
#include "core/fd.h"

namespace crucible {

/// A lifeline (severed once every copy of the other end is gone) that also carries a few notes, so few that they always
/// fit the socket's buffer. Over AF_UNIX (SEQPACKET) or TCP. Any thread of the end's user.
class Tether {
 public:
  /// The first note of each side: how to send to it.
  struct Greeting {
    static constexpr std::uint8_t kVersion = 1;
    std::uint16_t port = 0;         ///< of the TCP listener; 0 otherwise
    std::array<char, 32> random{};  ///< hexadecimal digits
    /// What the listener is called, for all to see; and what its peer alone knows.
    std::string_view name() const noexcept { return {random.data(), random.size() / 2}; }
    std::string_view secret() const noexcept { return {random.data() + random.size() / 2, random.size() / 2}; }
  };
  /// What the notes read so far say of the other side.
  struct News {
    bool severed = false;   ///< gone
    bool greeted = false;   ///< `greeting` is filled in
    bool attached = false;  ///< receives by now
    bool deaf = false;      ///< will never receive again
    bool closing = false;   ///< sends nothing any more; `flushed` will follow
    bool flushed = false;   ///< closed, and all that can still reach anybody is on its way
    bool bequest = false;   ///< closed before anybody received: all that it sent is in the bequest
    Greeting greeting;
  };

  explicit Tether(Fd socket) noexcept : socket_(std::move(socket)) {}

  int descriptor() const noexcept { return socket_.get(); }
  bool is_unix() const;
  /// Reads what has come; does not wait. Throws std::system_error.
  News look();
  void greet(const Greeting& greeting);
  /// The other side may be gone, which is no error.
  void say_attached() noexcept { say('A'); }
  void say_deaf() noexcept { say('D'); }
  void say_closing() noexcept { say('C'); }
  void say_flushed() noexcept { say('F'); }
  /// Lets the other side keep a descriptor open, until it closes.
  void lend(const Fd& descriptor) noexcept;
  /// Leaves messages to the other side, each as 8 bytes of length and its bytes. False: more than the tether can take.
  bool bequeath(const std::vector<ByteView>& messages);
  /// What was left; once.
  Bytes inherit();
  /// Not while another thread uses it.
  void close() noexcept;

 private:
  static constexpr std::size_t kInline = 32 * 1024;  // a longer bequest travels as a memfd

  bool say(char note, int passed = -1) noexcept;
  bool send_all(ByteView bytes, int passed) noexcept;
  void read_notes();
  bool read_note(std::size_t& at);

  Fd socket_;
  std::mutex mutex_;  // guards what follows
  News news_;
  Bytes unread_;
  std::vector<Fd> passed_;
  Fd lent_;
  Bytes bequest_;
};

}  // namespace crucible
