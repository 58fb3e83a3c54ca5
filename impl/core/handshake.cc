#include "core/handshake.h"

#include <sodium.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/random.h"
#include "core/wait.h"

namespace crucible {
namespace {

constexpr std::array<char, 8> kMagic = {'C', 'R', 'U', 'C', 'I', 'B', 'L', 'E'};
constexpr std::array<char, 8> kWelcome = {'W', 'E', 'L', 'C', 'O', 'M', 'E', '\0'};
constexpr std::array<char, 8> kRefused = {'R', 'E', 'F', 'U', 'S', 'E', 'D', '\0'};
constexpr std::uint8_t kVersion = 1;

// A proof is for one direction: what one side sent is worth nothing when it is sent back.
enum class Role : std::uint8_t { kClient = 'C', kServer = 'S' };

Hello make_hello(const Terms& terms) {
  Hello hello = {.magic = kMagic,
                 .version = kVersion,
                 .keyed = static_cast<std::uint8_t>(terms.authkey ? 1 : 0),
                 .mechanism = {},
                 .challenge = {}};
  terms.mechanism.copy(hello.mechanism.data(), hello.mechanism.size());
  fill_randomly(hello.challenge);
  return hello;
}

// All but the challenge.
bool agree(const Hello& one, const Hello& other) {
  return one.magic == other.magic && one.version == other.version && one.keyed == other.keyed &&
         one.mechanism == other.mechanism;
}

Proof prove(const Bytes& key, Role role, const Hello& server, const Hello& client) {
  static_assert(crypto_auth_hmacsha256_BYTES == sizeof(Proof));
  const auto role_byte = static_cast<unsigned char>(role);
  Proof proof;
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, reinterpret_cast<const unsigned char*>(key.data()), key.size());
  crypto_auth_hmacsha256_update(&state, &role_byte, 1);
  crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(&server), sizeof server);
  crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(&client), sizeof client);
  crypto_auth_hmacsha256_final(&state, proof.data());
  sodium_memzero(&state, sizeof state);
  return proof;
}

bool equal(const Proof& one, const Proof& other) { return sodium_memcmp(one.data(), other.data(), one.size()) == 0; }

// So few bytes fit the empty buffer of a new connection; whatever does not is no peer of ours.
template <class T>
bool say(int socket, const T& packet) {
  ssize_t count = 0;
  do {
    count = ::send(socket, &packet, sizeof packet, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  return count == static_cast<ssize_t>(sizeof packet);
}

// Goes on reading into `to` until it holds `size` bytes. kTimeout: they are not all there yet.
Status hear(int socket, void* to, std::size_t size, std::size_t& had) {
  while (had < size) {
    iovec rest = {static_cast<std::byte*>(to) + had, size - had};
    msghdr message = {};
    message.msg_iov = &rest;
    message.msg_iovlen = 1;
    const ssize_t count = ::recvmsg(socket, &message, MSG_DONTWAIT);
    if (count == 0) return Status::kEof;
    if (count > 0) {
      if ((message.msg_flags & MSG_TRUNC) != 0) return Status::kAuth;  // a packet longer than any of ours
      had += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      return Status::kTimeout;
    } else if (errno != EINTR && errno != ECONNRESET) {
      // ECONNRESET comes once, ahead of what is still buffered.
      return Status::kEof;
    }
  }
  return Status::kOk;
}

Status hear_by(int socket, void* to, std::size_t size, Deadline deadline) {
  std::size_t had = 0;
  while (true) {
    const Status status = hear(socket, to, size, had);
    if (status != Status::kTimeout) return status;
    pollfd slot = {.fd = socket, .events = POLLIN, .revents = 0};
    if (sleep_on({&slot, 1}, deadline) != Wake::kReady && deadline.has_passed()) return Status::kTimeout;
  }
}

}  // namespace

Handshake::Handshake(Fd socket, const Terms& terms)
    : socket_(std::move(socket)), terms_(terms), own_(make_hello(terms)) {}

Handshake::Outcome Handshake::begin() noexcept { return say(socket(), own_) ? Outcome::kUnderWay : Outcome::kRefused; }

Handshake::Outcome Handshake::advance() noexcept {
  Status status = Status::kOk;
  if (had_ < sizeof(Hello)) {
    status = hear(socket(), &peers_, sizeof(Hello), had_);
    if (status == Status::kOk && !agree(own_, peers_)) status = Status::kAuth;
  }
  if (status == Status::kOk && terms_.authkey) {
    std::size_t had = had_ - sizeof(Hello);
    status = hear(socket(), &proof_, sizeof(Proof), had);
    had_ = sizeof(Hello) + had;
  }
  if (status == Status::kTimeout) return Outcome::kUnderWay;
  return status == Status::kOk ? judge() : Outcome::kRefused;
}

Handshake::Outcome Handshake::judge() noexcept {
  Verdict verdict = {.word = kWelcome, .proof = {}};
  if (terms_.authkey) {
    if (!equal(proof_, prove(*terms_.authkey, Role::kClient, own_, peers_))) return Outcome::kRefused;
    verdict.proof = prove(*terms_.authkey, Role::kServer, own_, peers_);
  }
  return say(socket(), verdict) ? Outcome::kAgreed : Outcome::kRefused;
}

void Handshake::refuse() noexcept { (void)say(socket(), Verdict{.word = kRefused, .proof = {}}); }

Status shake_hands(const Fd& socket, const Terms& terms, Deadline deadline) {
  const Hello own = make_hello(terms);
  // A failure to send is no news: what the listener had to say is still to be heard.
  (void)say(socket.get(), own);
  Hello servers = {};
  if (const Status status = hear_by(socket.get(), &servers, sizeof servers, deadline); status != Status::kOk) {
    return status;
  }
  if (!agree(own, servers)) return Status::kAuth;
  if (terms.authkey) (void)say(socket.get(), prove(*terms.authkey, Role::kClient, servers, own));
  Verdict verdict = {};
  if (const Status status = hear_by(socket.get(), &verdict, sizeof verdict, deadline); status != Status::kOk) {
    return status;
  }
  if (verdict.word != kWelcome) return Status::kAuth;
  const bool is_proven = !terms.authkey || equal(verdict.proof, prove(*terms.authkey, Role::kServer, servers, own));
  return is_proven ? Status::kOk : Status::kAuth;
}

}  // namespace crucible
