// Clauses A7, A8 and H34: peers that lie, babble, stammer or say nothing.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/door_support.h"
#include "conformance/random.h"
#include "conformance/support/peer.h"

namespace crucible::testing {
namespace {

class DoorHostile : public DoorTest {
 protected:
  static Bytes hello(bool is_keyed) { return raw_hello(mechanism().name, is_keyed); }

  static void expect_refused(Listener& listener, const std::string& what) {
    std::unique_ptr<Connection> none;
    EXPECT_EQ(listener.accept(none), Status::kAuth) << what;
    EXPECT_EQ(none, nullptr) << what;
  }
  /// Says all of it and hangs up.
  static void say(const Listener& listener, ByteView bytes) {
    const Fd peer = raw_connect(listener.address());
    (void)raw_send(peer, bytes);
  }
};

// A peer that knows the page and not the library: what it does right works.
TEST_P(DoorHostile, A7_AClientMadeFromTheDescriptionIsWelcome) {
  const std::unique_ptr<Listener> listener = listen(keyed("secret"));
  const Fd peer = raw_connect(listener->address());
  const Bytes own = hello(true);
  ASSERT_TRUE(raw_send(peer, own));
  const Bytes servers = raw_receive(peer, kHelloBytes);
  ASSERT_EQ(servers.size(), kHelloBytes);
  ASSERT_TRUE(raw_send(peer, raw_proof("secret", 'C', servers, own)));
  EXPECT_EQ(raw_receive(peer, kVerdictBytes), raw_verdict("WELCOME", raw_proof("secret", 'S', servers, own)));
}

TEST_P(DoorHostile, A7_AListenerMadeFromTheDescriptionIsBelieved) {
  const RawDoor door = raw_listen(mechanism());
  std::thread server([&] {
    const Fd peer = raw_accept(door);
    const Bytes own = hello(true);
    ASSERT_TRUE(raw_send(peer, own));
    const Bytes clients = raw_receive(peer, kHelloBytes);
    EXPECT_EQ(raw_receive(peer, kProofBytes), raw_proof("secret", 'C', own, clients));
    (void)raw_send(peer, raw_verdict("WELCOME", raw_proof("secret", 'S', own, clients)));
  });
  try {
    (void)mechanism().connect(door.address, keyed("secret"), Deadline::never());
  } catch (const Auth& error) {
    ADD_FAILURE() << error.what();
  } catch (const Eof&) {  // it believed, and what its mechanism sends next never came
  }
  server.join();
}

TEST_P(DoorHostile, A7_AProofThatIsWrongInAnyByteIsRefused) {
  const std::unique_ptr<Listener> listener = listen(keyed("secret"));
  for (std::size_t wrong = 0; wrong < kProofBytes; ++wrong) {
    const Fd peer = raw_connect(listener->address());
    const Bytes own = hello(true);
    ASSERT_TRUE(raw_send(peer, own));
    Bytes proof = raw_proof("secret", 'C', raw_receive(peer, kHelloBytes), own);
    proof[wrong] ^= std::byte{1};
    ASSERT_TRUE(raw_send(peer, proof));
    EXPECT_EQ(raw_receive(peer, kVerdictBytes), raw_verdict("REFUSED", {})) << "byte " << wrong;
    expect_refused(*listener, "byte " + std::to_string(wrong));
  }
  expect_serves(*listener, mechanism(), keyed("secret"));
}

TEST_P(DoorHostile, A7_AProofIsGoodForOneRole) {
  const std::unique_ptr<Listener> listener = listen(keyed("secret"));
  const Fd peer = raw_connect(listener->address());
  const Bytes own = hello(true);
  ASSERT_TRUE(raw_send(peer, own));
  ASSERT_TRUE(raw_send(peer, raw_proof("secret", 'S', raw_receive(peer, kHelloBytes), own)));
  expect_refused(*listener, "the listener's role");
}

// All that a real client said to somebody else, said again.
TEST_P(DoorHostile, A7_AProofIsGoodForOneConnection) {
  const RawDoor ear = raw_listen(mechanism());
  Bytes overheard;
  Bytes proof;
  std::thread eavesdropper([&] {
    const Fd peer = raw_accept(ear);
    ASSERT_TRUE(raw_send(peer, hello(true)));
    overheard = raw_receive(peer, kHelloBytes);
    proof = raw_receive(peer, kProofBytes);
  });
  EXPECT_THROW((void)mechanism().connect(ear.address, keyed("secret"), Deadline::never()), Eof);
  eavesdropper.join();
  const std::unique_ptr<Listener> listener = listen(keyed("secret"));
  const Fd peer = raw_connect(listener->address());
  ASSERT_TRUE(raw_send(peer, overheard));
  ASSERT_TRUE(raw_send(peer, proof));
  expect_refused(*listener, "a proof of another connection's");
}

TEST_P(DoorHostile, A7_AListenerThatSendsBackWhatItHeardIsRefused) {
  const RawDoor door = raw_listen(mechanism());
  std::thread mirror([&] {
    const Fd peer = raw_accept(door);
    const Bytes clients = raw_receive(peer, kHelloBytes);
    ASSERT_TRUE(raw_send(peer, clients));
    (void)raw_send(peer, raw_verdict("WELCOME", raw_receive(peer, kProofBytes)));
    await_hangup(peer);
  });
  EXPECT_THROW((void)mechanism().connect(door.address, keyed("secret"), Deadline::never()), Auth);
  mirror.join();
}

TEST_P(DoorHostile, A7_AListenerThatProvesNothingIsRefused) {
  for (const bool is_wrong_at_the_end : {false, true}) {
    const RawDoor door = raw_listen(mechanism());
    std::thread impostor([&] {
      const Fd peer = raw_accept(door);
      const Bytes own = hello(true);
      ASSERT_TRUE(raw_send(peer, own));
      const Bytes clients = raw_receive(peer, kHelloBytes);
      Bytes proof(kProofBytes);
      if (is_wrong_at_the_end) proof = raw_proof("secret", 'S', own, clients);
      proof.back() ^= std::byte{1};
      (void)raw_send(peer, raw_verdict("WELCOME", proof));
      await_hangup(peer);
    });
    EXPECT_THROW((void)mechanism().connect(door.address, keyed("secret"), Deadline::never()), Auth);
    impostor.join();
  }
}

TEST_P(DoorHostile, A7_AListenerThatHangsUpIsAnEndOfFile) {
  const RawDoor door = raw_listen(mechanism());
  std::thread fickle([&] { raw_accept(door).reset(); });
  EXPECT_THROW((void)context().connect(door.address), Eof);
  fickle.join();
}

TEST_P(DoorHostile, A8_AHandshakeCutAtAnyByteIsRefused) {
  const std::unique_ptr<Listener> listener = listen(keyed("secret"));
  for (std::size_t length = 0; length < kHelloBytes + kProofBytes; ++length) {
    const Fd peer = raw_connect(listener->address());
    const Bytes own = hello(true);
    ASSERT_TRUE(raw_send(peer, ByteView(own).first(std::min(length, kHelloBytes))) || length == 0);
    const Bytes servers = raw_receive(peer, kHelloBytes);
    if (length > kHelloBytes) {
      const Bytes proof = raw_proof("secret", 'C', servers, own);
      ASSERT_TRUE(raw_send(peer, ByteView(proof).first(length - kHelloBytes)));
    }
    ::shutdown(peer.get(), SHUT_WR);
    expect_refused(*listener, "cut at " + std::to_string(length));
  }
  expect_serves(*listener, mechanism(), keyed("secret"));
}

TEST_P(DoorHostile, A8_GarbageIsRefusedAndTheNextClientServed) {
  const std::unique_ptr<Listener> listener = listen();
  const std::string_view mechanism_name = mechanism().name;
  std::vector<std::pair<std::string, Bytes>> garbage = {
      {"HTTP", text("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a browser that lost its way\r\n\r\n")},
      {"another version", raw_hello(mechanism_name, false, 2)},
      {"version 0", raw_hello(mechanism_name, false, 0)},
      {"another mechanism", raw_hello("carrier_pigeon", false)},
      {"a longer name", raw_hello(std::string(mechanism_name) + "x", false)},
      {"zeros", Bytes(kHelloBytes)},
      {"a long packet", Bytes(60'000, std::byte{0x55})},
  };
  for (const std::uint64_t length : {~0ULL, ~1ULL, 0x7fff'ffffULL, 0xffff'ffffULL}) {  // claims of all kinds of frames
    Bytes claim(kHelloBytes);
    std::memcpy(claim.data(), &length, sizeof length);
    garbage.emplace_back("a length of " + std::to_string(length), claim);
  }
  for (const auto& [what, bytes] : garbage) {
    const Fd peer = raw_connect(listener->address());
    (void)raw_send(peer, bytes);
    EXPECT_EQ(raw_receive(peer, kHelloBytes).size(), kHelloBytes) << what;
    EXPECT_EQ(raw_receive(peer, kVerdictBytes), raw_verdict("REFUSED", {})) << what;
    expect_refused(*listener, what);
  }
  expect_serves(*listener, mechanism());
}

TEST_P(DoorHostile, A8_RandomPeersAreRefused) {
  Random random;
  const std::unique_ptr<Listener> listener = listen();
  constexpr unsigned kPeers = 300;
  unsigned refused = 0;
  for (unsigned i = 0; i < kPeers; ++i) {
    Bytes bytes = random.one_in(2) ? random.bytes(random.between(0, 300)) : hello(false);
    if (bytes.size() == kHelloBytes) bytes[random.between(0, 31)] ^= static_cast<std::byte>(random.between(1, 255));
    say(*listener, bytes);
    std::unique_ptr<Connection> none;
    refused += listener->accept(none) == Status::kAuth ? 1U : 0U;
  }
  std::printf("[ garbage  ] %s: refused %u / %u random peers\n", std::string(mechanism().name).c_str(), refused,
              kPeers);
  EXPECT_EQ(refused, kPeers);
  expect_serves(*listener, mechanism());
}

TEST_P(DoorHostile, H34_SilentPeersKeepNobodyOut) {
  DoorOptions options;
  options.handshake_timeout = 1h;
  const std::unique_ptr<Listener> listener = listen(options);
  std::vector<Fd> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(raw_connect(listener->address()));
  for (int i = 0; i < 10; ++i) expect_serves(*listener, mechanism());
  std::unique_ptr<Connection> none;
  EXPECT_EQ(listener->accept(none, Deadline::immediate()), Status::kTimeout) << "they have time yet";
}

// More than a listener keeps at a time: the silent ones make room.
TEST_P(DoorHostile, H34_AFullHouseOfSilentPeersMakesRoom) {
  DoorOptions options;
  options.handshake_timeout = 1h;
  const std::unique_ptr<Listener> listener = listen(options);
  Peer crowd([&listener = *listener] {
    std::vector<Fd> silent;
    for (int i = 0; i < 400; ++i) silent.push_back(raw_connect(listener.address()));
    for (int i = 0; i < 3; ++i) (void)connect(listener);
  });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(next_status(*next_accepted(*listener)), Status::kEof);
  crowd.join();
  expect_serves(*listener, mechanism());
}

TEST_P(DoorHostile, H34_ASilentPeerIsRefusedWhenItsTimeIsOver) {
  DoorOptions options;
  options.handshake_timeout = 50ms;
  const std::unique_ptr<Listener> listener = listen(options);
  const Stopwatch watch;
  const Fd peer = raw_connect(listener->address());
  expect_refused(*listener, "silence");
  EXPECT_GE(watch.elapsed(), 50ms);
  EXPECT_EQ(raw_receive(peer, kHelloBytes).size(), kHelloBytes);
  EXPECT_EQ(raw_receive(peer, kVerdictBytes), raw_verdict("REFUSED", {}));
  EXPECT_EQ(raw_receive(peer, 1).size(), 0U);
}

TEST_P(DoorHostile, H34_APeerThatStammersIsRefusedWhenItsTimeIsOverAndDelaysNobody) {
  DoorOptions options;
  options.handshake_timeout = 100ms;
  const std::unique_ptr<Listener> listener = listen(options);
  const Fd peer = raw_connect(listener->address());
  const Bytes own = hello(false);
  std::unique_ptr<Connection> none;
  std::size_t said = 0;
  while (listener->accept(none, Deadline::after(10ms)) == Status::kTimeout) {
    ASSERT_LT(said, kHelloBytes - 1) << "it may say half its hello for ever";
    (void)raw_send(peer, ByteView(own).subspan(said++, 1));
  }
  EXPECT_EQ(none, nullptr);
  expect_serves(*listener, mechanism());
}

TEST_P(DoorHostile, H34_AHelloInSmallPiecesIsAHello) {
  const std::unique_ptr<Listener> listener = listen();
  const Fd peer = raw_connect(listener->address());
  for (const std::byte byte : hello(false)) ASSERT_TRUE(raw_send(peer, {&byte, 1}));
  EXPECT_EQ(raw_receive(peer, kHelloBytes).size(), kHelloBytes);
  EXPECT_EQ(raw_receive(peer, kVerdictBytes), raw_verdict("WELCOME", {}));
}

// Malloc's own count of what this process holds, and the largest request while peers said all they could.
TEST_P(DoorHostile, A8_MemoryIsBoundedBeforeAPeerHasProvedItself) {
  DoorOptions options = keyed("secret");
  options.handshake_timeout = 1h;
  const std::unique_ptr<Listener> listener = listen(options);
  Bytes flood = hello(true);
  flood.resize(kHelloBytes + kProofBytes - 1, std::byte{0x7f});
  const auto crowd = [&](std::size_t size) {
    std::vector<Fd> peers;
    for (std::size_t i = 0; i < size; ++i) {
      peers.push_back(raw_connect(listener->address()));
      (void)raw_send(peers.back(), ByteView(flood).first(kHelloBytes));
      (void)raw_send(peers.back(), ByteView(flood).subspan(kHelloBytes));
      EXPECT_EQ(raw_receive(peers.back(), kHelloBytes).size(), kHelloBytes) << "in the listener's hands";
    }
    return ::mallinfo2();
  };
  (void)crowd(1);
  expect_refused(*listener, "hung up");
  const auto before = ::mallinfo2();
  constexpr std::size_t kPeers = 200;
  const auto during = crowd(kPeers);
  constexpr std::size_t kPerPeer = 1024;  // of which the test's own vector takes a little
  EXPECT_LE(during.uordblks, before.uordblks + kPeers * kPerPeer);
  EXPECT_EQ(during.hblks, before.hblks) << "nothing large enough for a mapping of its own";
  for (std::size_t i = 0; i < kPeers; ++i) expect_refused(*listener, "hung up");
}

}  // namespace

CRUCIBLE_INSTANTIATE_ONCE(DoorHostile);

}  // namespace crucible::testing
