// The server's side of /dev/fuse: FUSE_DEV_IOC_CLONE is in descriptors.cc.
#include "arguments.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace sluice {

// Answer and next request in one call, for two calls from JavaScript cost as much as the work in between. Nothing is
// kept from one call to the next: address and length of both buffers are asked for anew, so one that was detached or
// resized meanwhile is noticed. During the call they stay as they are. The arguments keep them from being collected,
// and only this thread, which sits in read(2), could detach them.
napi_value FuseExchange(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "fuseExchange");
  const int fd = arguments.Descriptor(0, "fd");
  const uint8_t* answer = nullptr;
  const uint8_t* request = nullptr;
  size_t capacity = 0, room = 0;
  arguments.Bytes(1, "answer", &answer, &capacity);
  const size_t length = static_cast<size_t>(arguments.Integer(2, "length", 0, static_cast<int64_t>(capacity)));
  arguments.Bytes(3, "request", &request, &room);
  if (arguments.Failed()) return nullptr;
  if (room == 0) {
    // A read of nothing is 0 for most files, which looks like no request yet, for ever.
    napi_throw_range_error(env, nullptr, "Cannot call fuseExchange: request must not be empty");
    return nullptr;
  }
  // The device takes an answer whole or not at all. No call is repeated here: what EINTR means is the caller's to say.
  if (length > 0 && write(fd, answer, length) < 0) return ThrowErrno(env, errno, "write");
  const ssize_t received = read(fd, const_cast<uint8_t*>(request), room);
  return received < 0 ? ThrowErrno(env, errno, "read") : Number(env, static_cast<double>(received));
}

// The same for a thread that serves many mounts: `from` says whose request it is. The numbers in the epoll instance are
// the descriptors themselves, so a pipe in it is read like a mount, and wakes the thread. Whoever got an answer often has
// the next request at hand by now: reading it without having waited saves a system call.
napi_value FuseExchangeAny(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "fuseExchangeAny");
  const int epfd = arguments.Descriptor(0, "epfd");
  const int to = static_cast<int>(arguments.Integer(1, "to", -1, INT_MAX));
  const uint8_t* answer = nullptr;
  const uint8_t* request = nullptr;
  const uint8_t* from = nullptr;
  size_t capacity = 0, room = 0, size = 0;
  arguments.Bytes(2, "answer", &answer, &capacity);
  const size_t length = static_cast<size_t>(arguments.Integer(3, "length", 0, static_cast<int64_t>(capacity)));
  arguments.Bytes(4, "request", &request, &room);
  arguments.Bytes(5, "from", &from, &size);
  if (arguments.Failed()) return nullptr;
  if (room == 0 || size < sizeof(int32_t) || (length > 0 && to < 0)) {
    napi_throw_range_error(env, nullptr, "Cannot call fuseExchangeAny: want a request buffer, 4 bytes of from, and to");
    return nullptr;
  }
  if (length > 0 && write(to, answer, length) < 0) return ThrowErrno(env, errno, "write");
  int32_t first = -1;
  memcpy(&first, from, sizeof first);
  if (first >= 0) {
    const ssize_t received = read(first, const_cast<uint8_t*>(request), room);
    // What is wrong with it, epoll_wait tells again.
    if (received > 0) return Number(env, static_cast<double>(received));
  }
  for (;;) {
    epoll_event event = {};
    const int count = epoll_wait(epfd, &event, 1, -1);
    if (count < 0) return ThrowErrno(env, errno, "epoll_wait");
    if (count == 0) continue;
    const int32_t fd = static_cast<int32_t>(event.data.u64);
    const ssize_t received = read(fd, const_cast<uint8_t*>(request), room);
    // Another thread was quicker.
    if (received < 0 && errno == EAGAIN) continue;
    const int error = errno;
    memcpy(const_cast<uint8_t*>(from), &fd, sizeof fd);
    return received < 0 ? ThrowErrno(env, error, "read") : Number(env, static_cast<double>(received));
  }
}

}  // namespace sluice
