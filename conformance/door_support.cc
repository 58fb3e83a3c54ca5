#include "conformance/door_support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace crucible::testing {
namespace {

struct RawAddress {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

RawAddress local_address(std::string_view where) {
  RawAddress raw;
  auto* address = reinterpret_cast<sockaddr_un*>(&raw.storage);
  address->sun_family = AF_UNIX;
  std::ranges::copy(where, address->sun_path);
  if (where.front() == '@') address->sun_path[0] = '\0';
  raw.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + where.size() + (where.front() == '@' ? 0 : 1));
  return raw;
}

// The schemes themselves hold no colon.
RawAddress address_of(std::string_view address) {
  const std::string_view where = address.substr(address.find(':') + 1);
  if (where.front() == '/' || where.front() == '@') return local_address(where);
  const std::size_t colon = where.rfind(':');
  RawAddress raw;
  auto* internet = reinterpret_cast<sockaddr_in*>(&raw.storage);
  internet->sin_family = AF_INET;
  internet->sin_port = htons(static_cast<std::uint16_t>(std::stoi(std::string(where.substr(colon + 1)))));
  EXPECT_EQ(inet_pton(AF_INET, std::string(where.substr(0, colon)).c_str(), &internet->sin_addr), 1) << address;
  raw.length = sizeof(sockaddr_in);
  return raw;
}

Fd raw_socket(int family) {
  Fd socket(::socket(family, (family == AF_UNIX ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  return socket;
}

Bytes bytes_of(const void* data, std::size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  return {first, first + size};
}

}  // namespace

void DoorTest::SetUp() {
  MechanismTest::SetUp();
  if (mechanism().scheme.empty()) GTEST_SKIP() << mechanism().name << " has no named door";
}

void DoorTest::warm_up() {
  MechanismTest::warm_up();
  if (!mechanism().scheme.empty()) (void)listen();
}

std::unique_ptr<Connection> next_accepted(Listener& listener) {
  std::unique_ptr<Connection> connection;
  Status status = Status::kAuth;
  while (status == Status::kAuth) status = listener.accept(connection);
  EXPECT_EQ(status, Status::kOk);
  return connection;
}

void expect_works(Connection& one, Connection& other) {
  give(one, text("there"));
  EXPECT_EQ(as_text(take(other)), "there");
  give(other, text("and back"));
  EXPECT_EQ(as_text(take(one)), "and back");
}

void expect_serves(Listener& listener, const Mechanism& mechanism, const DoorOptions& options) {
  const std::unique_ptr<Connection> client = mechanism.connect(listener.address(), options, Deadline::never());
  ASSERT_NE(client, nullptr);
  const std::unique_ptr<Connection> served = next_accepted(listener);
  ASSERT_NE(served, nullptr);
  expect_works(*client, *served);
}

// Its name begins unlike those of the library, which other tests, run side by side, look for.
Directory::Directory() {
  std::array<char, 64> name = {};
  std::ranges::copy(std::string_view("/tmp/test-of-crucible-door-XXXXXX"), name.begin());
  if (::mkdtemp(name.data()) == nullptr) throw_errno("mkdtemp");
  path_ = name.data();
}

Directory::~Directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Fd raw_connect(std::string_view address) {
  RawAddress to = address_of(address);
  Fd socket = raw_socket(to.family());
  if (::connect(socket.get(), to.get(), to.length) != 0) throw_errno("connect");
  return socket;
}

RawDoor raw_listen(const Mechanism& mechanism) {
  const std::string scheme = std::string(mechanism.scheme) + ":";
  std::string address;
  {  // A name that was just free, of the kind that this mechanism uses.
    address = mechanism.listen(scheme, {})->address();
  }
  RawAddress own = address_of(address);
  Fd socket = raw_socket(own.family());
  const int yes = 1;
  if (own.family() == AF_INET) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(socket.get(), own.get(), own.length) != 0) throw_errno("bind");
  if (::listen(socket.get(), 16) != 0) throw_errno("listen");
  return {.socket = std::move(socket), .address = address};
}

Fd raw_accept(const RawDoor& door) {
  Fd socket(::accept4(door.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) throw_errno("accept4");
  return socket;
}

bool raw_send(const Fd& socket, ByteView bytes) {
  return ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

Bytes raw_receive(const Fd& socket, std::size_t size) {
  Bytes bytes(size);
  std::size_t had = 0;
  while (had < size) {
    const ssize_t count = ::recv(socket.get(), bytes.data() + had, size - had, 0);
    if (count == 0) break;
    if (count > 0) {
      had += static_cast<std::size_t>(count);
    } else if (errno != EINTR && errno != ECONNRESET) {
      break;
    }
  }
  bytes.resize(had);
  return bytes;
}

void await_hangup(const Fd& socket) {
  while (!raw_receive(socket, 1024).empty()) {
  }
}

Bytes raw_hello(std::string_view mechanism, bool is_keyed, std::uint8_t version) {
  Bytes hello(kHelloBytes);
  std::memcpy(hello.data(), "CRUCIBLE", 8);
  hello[8] = static_cast<std::byte>(version);
  hello[9] = static_cast<std::byte>(is_keyed ? 1 : 0);
  std::memcpy(hello.data() + 10, mechanism.data(), std::min<std::size_t>(mechanism.size(), 22));
  randombytes_buf(hello.data() + 32, 32);
  return hello;
}

Bytes raw_proof(std::string_view key, char role, ByteView server_hello, ByteView client_hello) {
  Bytes text = bytes_of(&role, 1);
  text.insert(text.end(), server_hello.begin(), server_hello.end());
  text.insert(text.end(), client_hello.begin(), client_hello.end());
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, reinterpret_cast<const unsigned char*>(key.data()), key.size());
  crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  std::array<unsigned char, kProofBytes> proof;
  crypto_auth_hmacsha256_final(&state, proof.data());
  return bytes_of(proof.data(), proof.size());
}

Bytes raw_verdict(std::string_view word, ByteView proof) {
  Bytes verdict(kVerdictBytes);
  std::memcpy(verdict.data(), word.data(), word.size());
  std::ranges::copy(proof, verdict.begin() + 8);
  return verdict;
}

}  // namespace crucible::testing
