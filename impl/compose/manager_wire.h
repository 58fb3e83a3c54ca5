// What a composed manager's clients and its server say to each other. README.md in this folder documents it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/bytes.h"

namespace crucible::manager_wire {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint64_t kVersion = 1;

/// In front of every message. Little-endian.
struct Header {
  std::uint8_t kind;
  std::uint8_t flags;
  std::uint16_t zero;
  std::uint32_t id;      ///< a client's number for its request, which the answer repeats
  std::uint64_t number;  ///< what the kind says
  std::uint32_t seen;    ///< of kCall: all answers to requests before this one were taken
  std::uint32_t zeros;
};
constexpr std::size_t kHeader = 24;
static_assert(sizeof(Header) == kHeader);

/// From a client.
enum class Request : std::uint8_t {
  kHello = 1,  ///< number: version; a Hello
  kCall,       ///< number: the object; a part of the request
  kGiveUp,     ///< the request whose parts were coming will not be finished
  kCancel,     ///< the answer to the request of this id is not wanted any more
  kMore,       ///< a part of an answer was taken, and there is room for others
  kDrop,       ///< 8 bytes each: objects of which it holds one reference less
  kHold,       ///< the same: one more, if there still is such an object. Before the first kCall: what it inherited
};
struct Hello {
  std::array<std::byte, 16> server;  ///< its id, or zeros for whichever it is
  std::uint64_t client;              ///< a random number of its own
  std::uint64_t heir;                ///< what its parent called it in an Announcement, or 0
};
/// What a process of the family says before it forks, not over a connection but by BrokerProcess::tell(), with a
/// descriptor whose other end goes with the child: the child inherits the parent's holds.
struct Announcement {
  std::uint64_t parent;  ///< a client, or an heir
  std::uint64_t heir;
};

/// Of kHello: the client was forked from the server's creator, whose lifeline it holds.
constexpr std::uint8_t kOfTheFamily = 1;
/// Of kCall and kAnswer: further parts follow.
constexpr std::uint8_t kContinued = 1;

enum class Answer : std::uint8_t {
  kWelcome = 65,  ///< number: version; 16 bytes: the server's id
  kAnswer,        ///< a part of it
};
/// Of kAnswer: it is a Failure.
constexpr std::uint8_t kFailed = 2;

/// Little enough for every mechanism to take it without waiting when nothing else is under way.
constexpr std::size_t kLongestMessage = std::size_t{32} * 1024 - 64;
/// What travels in one part.
constexpr std::size_t kMostInline = kLongestMessage - kHeader;
/// A request, in all its parts.
constexpr std::size_t kLongestRequest = std::size_t{64} << 20U;

inline Header read_header(const std::byte* from) noexcept {
  Header header;
  std::memcpy(&header, from, kHeader);
  return header;
}
inline void write_header(std::byte* to, std::uint8_t kind, std::uint32_t id, std::uint64_t number = 0,
                         std::uint8_t flags = 0, std::uint32_t seen = 0) noexcept {
  const Header header = {.kind = kind, .flags = flags, .zero = 0, .id = id, .number = number, .seen = seen, .zeros = 0};
  std::memcpy(to, &header, kHeader);
}

}  // namespace crucible::manager_wire
