// What is done to open files: holes, copies, locks, passing them to another process, cloning a FUSE connection.
#include "arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice {

namespace {

// The kernel passes at most this many descriptors in one message (include/net/scm.h, SCM_MAX_FD).
constexpr size_t kMaxDescriptors = 253;
// Bounds what one receive may allocate.
constexpr size_t kMaxPayload = 64 * 1024;

// Retries a call that a signal interrupted.
template <typename Call>
auto Restarting(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Sends `length` bytes; the descriptors ride on the first of them.
ssize_t SendMessage(int socket, const std::vector<int>& fds, const uint8_t* data, size_t length) {
  iovec part = {const_cast<uint8_t*>(data), length};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  return Restarting([&] { return sendmsg(socket, &message, MSG_NOSIGNAL); });
}

std::vector<double> DescriptorsOf(msghdr* message) {
  std::vector<double> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      fds.push_back(fd);
    }
  }
  return fds;
}

}  // namespace

napi_value PunchHole(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "punchHole");
  const int fd = arguments.Descriptor(0, "fd");
  const int64_t offset = arguments.Offset(1, "offset");
  const int64_t length = arguments.Offset(2, "length");
  if (arguments.Failed()) return nullptr;
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (Restarting([&] { return fallocate(fd, mode, offset, length); }) != 0) return ThrowErrno(env, errno, "fallocate");
  return nullptr;
}

napi_value CopyFileRange(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "copyFileRange");
  const int source = arguments.Descriptor(0, "fdIn");
  loff_t from = arguments.Offset(1, "offsetIn");
  const int target = arguments.Descriptor(2, "fdOut");
  loff_t to = arguments.Offset(3, "offsetOut");
  const int64_t length = arguments.Offset(4, "length");
  if (arguments.Failed()) return nullptr;
  int64_t copied = 0;
  while (copied < length) {
    const size_t rest = static_cast<size_t>(length - copied);
    const ssize_t count = Restarting([&] { return copy_file_range(source, &from, target, &to, rest, 0); });
    if (count < 0) return ThrowErrno(env, errno, "copy_file_range");
    if (count == 0) break;
    copied += count;
  }
  return Number(env, static_cast<double>(copied));
}

napi_value Flock(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "flock");
  const int fd = arguments.Descriptor(0, "fd");
  const std::string mode = arguments.String(1, "mode");
  const bool wait = arguments.Boolean(2, "wait");
  if (arguments.Failed()) return nullptr;
  const int operation = mode == "shared" ? LOCK_SH : mode == "exclusive" ? LOCK_EX : mode == "unlock" ? LOCK_UN : 0;
  if (operation == 0) {
    napi_throw_range_error(env, nullptr, "Cannot call flock: mode must be shared, exclusive or unlock");
    return nullptr;
  }
  const bool locked = Restarting([&] { return flock(fd, operation | (wait ? 0 : LOCK_NB)); }) == 0;
  if (!locked && errno != EWOULDBLOCK) return ThrowErrno(env, errno, "flock");
  napi_value result = nullptr;
  napi_get_boolean(env, locked, &result);
  return result;
}

napi_value SetNonBlocking(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "setNonBlocking");
  const int fd = arguments.Descriptor(0, "fd");
  if (arguments.Failed()) return nullptr;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return ThrowErrno(env, errno, "fcntl");
  return nullptr;
}

napi_value SocketPair(napi_env env, napi_callback_info) {
  int fds[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return ThrowErrno(env, errno, "socketpair");
  return Numbers(env, {static_cast<double>(fds[0]), static_cast<double>(fds[1])});
}

napi_value SendDescriptors(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "sendDescriptors");
  const int socket = arguments.Descriptor(0, "socket");
  const std::vector<int> fds = arguments.Descriptors(1, "fds", kMaxDescriptors);
  const uint8_t* data = nullptr;
  size_t length = 0;
  arguments.Bytes(2, "payload", &data, &length);
  if (arguments.Failed()) return nullptr;
  if (length == 0 || length > kMaxPayload) {
    // A stream carries descriptors on a byte, so there has to be one.
    napi_throw_range_error(env, nullptr, "Cannot call sendDescriptors: payload must be 1 to 65536 bytes long");
    return nullptr;
  }
  for (size_t sent = 0; sent < length;) {
    const ssize_t count = SendMessage(socket, sent == 0 ? fds : std::vector<int>(), data + sent, length - sent);
    if (count < 0) return ThrowErrno(env, errno, "sendmsg");
    sent += static_cast<size_t>(count);
  }
  return nullptr;
}

napi_value ReceiveDescriptors(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "receiveDescriptors");
  const int socket = arguments.Descriptor(0, "socket");
  const int64_t maximum = arguments.Integer(1, "maximum", 0, kMaxDescriptors);
  if (arguments.Failed()) return nullptr;

  std::vector<char> payload(kMaxPayload);
  std::vector<char> control(maximum == 0 ? 0 : CMSG_SPACE(static_cast<size_t>(maximum) * sizeof(int)));
  iovec part = {payload.data(), payload.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t length = Restarting([&] { return recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (length < 0) return ThrowErrno(env, errno, "recvmsg");

  // CMSG_SPACE rounds up, so one descriptor more than asked for can slip in.
  const std::vector<double> fds = DescriptorsOf(&message);
  if ((message.msg_flags & MSG_CTRUNC) != 0 || fds.size() > static_cast<size_t>(maximum)) {
    for (const double fd : fds) close(static_cast<int>(fd));
    return ThrowErrno(env, EMSGSIZE, "recvmsg", "more descriptors than " + std::to_string(maximum));
  }
  napi_value result = nullptr, buffer = nullptr;
  napi_create_object(env, &result);
  napi_create_buffer_copy(env, static_cast<size_t>(length), payload.data(), nullptr, &buffer);
  napi_set_named_property(env, result, "fds", Numbers(env, fds));
  napi_set_named_property(env, result, "payload", buffer);
  return result;
}

napi_value FuseClone(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "fuseClone");
  uint32_t session = static_cast<uint32_t>(arguments.Descriptor(0, "fuseFd"));
  if (arguments.Failed()) return nullptr;
  Owned clone(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (clone.get() < 0) return ThrowErrno(env, errno, "open", "\"/dev/fuse\"");
  if (ioctl(clone.get(), FUSE_DEV_IOC_CLONE, &session) != 0) return ThrowErrno(env, errno, "ioctl", "FUSE_DEV_IOC_CLONE");
  return Number(env, clone.Release());
}

}  // namespace sluice
