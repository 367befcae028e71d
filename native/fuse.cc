// The server's side of /dev/fuse: FUSE_DEV_IOC_CLONE is in descriptors.cc.
#include "arguments.h"

#include <errno.h>
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

}  // namespace sluice
