// What a mechanism can do beyond what every mechanism must. All default to no; each names a property, never
// a mechanism. conformance/capabilities.json is the reviewed table that a test compares these values with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace crucible {

struct Capabilities {
  bool cross_host = false;              ///< peers may be on different hosts
  bool local_names = false;             ///< its doors have names, owners and users of this host, whom the kernel tells
  bool pollable = false;                ///< descriptor() is a kernel descriptor that poll(2) understands
  bool multi_writer = false;            ///< several processes may send on one end at the same time
  bool hands_over = false;              ///< an end that was used may be used next by another process that has a copy
  bool transferable = false;            ///< handle() works: an end can be given to a process that has not inherited it
  bool passes_descriptors = false;      ///< send_descriptors() and recv_descriptors() work
  bool unbounded = false;               ///< any number of messages is accepted while nobody receives
  bool zero_copy = false;               ///< messages can be built and read in the transport's own memory
  bool outlives_sender = false;         ///< what a returned send handed over survives the sender's SIGKILL
  bool total_order = false;             ///< of a queue: all consumers together see one order that no put contradicts
  bool survives_kill = false;           ///< any set of participants may be killed at any instruction
  std::uint64_t max_message_bytes = 0;  ///< longer messages are kBadLength at once
  /// Payload, in messages of 64 bytes or more up to that sum, that a pipe with default options certainly holds while
  /// nobody receives; 0: a send may wait for its receive.
  std::uint64_t storage_bytes = 0;
};

}  // namespace crucible
