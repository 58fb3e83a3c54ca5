// Where an end receives, and how its peer gets there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/fd.h"
#include "zeromq/tether.h"

namespace crucible {

enum class ZeromqTransport : std::uint8_t { kIpc, kTcp };

/// A listening socket that libzmq can accept from (ZMQ_USE_FD), and what to tell the peer of it. At a random abstract
/// name, which leaves nothing in the file system, or at any port of the address that the tether has here (of the
/// loopback if that is an AF_UNIX socket). Throws std::system_error.
Fd open_listener(ZeromqTransport transport, const Tether& tether, std::size_t buffer_bytes, Tether::Greeting& greeting);

/// In libzmq's notation; the peer's is empty if the peer is gone.
std::string own_endpoint(ZeromqTransport transport, const Fd& listener, const Tether::Greeting& own);
std::string peer_endpoint(ZeromqTransport transport, const Tether& tether, const Tether::Greeting& peers);

/// Whether an AF_UNIX socket is connected to where the peer receives.
bool leads_to(const Fd& socket, const Tether::Greeting& peers);

}  // namespace crucible
