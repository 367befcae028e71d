// epoll(7): one worker thread that blocks on many mounts. Each descriptor carries a number of the caller's choice.
#include "arguments.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

namespace sluice {

namespace {

// Bounds the array of one wait; what does not fit comes with the next.
constexpr int64_t kMaxEvents = 1024;

}  // namespace

napi_value EpollCreate(napi_env env, napi_callback_info) {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? ThrowErrno(env, errno, "epoll_create1") : Number(env, fd);
}

napi_value EpollAdd(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "epollAdd");
  const int epfd = arguments.Descriptor(0, "epfd");
  const int fd = arguments.Descriptor(1, "fd");
  epoll_event event = {};
  event.events = static_cast<uint32_t>(arguments.Integer(2, "events", 0, UINT32_MAX));
  event.data.u64 = static_cast<uint64_t>(arguments.Offset(3, "key"));
  if (arguments.Failed()) return nullptr;
  if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) != 0) return ThrowErrno(env, errno, "epoll_ctl");
  return nullptr;
}

napi_value EpollRemove(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "epollRemove");
  const int epfd = arguments.Descriptor(0, "epfd");
  const int fd = arguments.Descriptor(1, "fd");
  if (arguments.Failed()) return nullptr;
  if (epoll_ctl(epfd, EPOLL_CTL_DEL, fd, nullptr) != 0) return ThrowErrno(env, errno, "epoll_ctl");
  return nullptr;
}

napi_value EpollWait(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "epollWait");
  const int epfd = arguments.Descriptor(0, "epfd");
  const int timeout = static_cast<int>(arguments.Integer(1, "timeoutMs", -1, INT_MAX));
  const int maximum = static_cast<int>(arguments.Integer(2, "maximum", 1, kMaxEvents));
  if (arguments.Failed()) return nullptr;
  epoll_event events[kMaxEvents];
  const int count = epoll_wait(epfd, events, maximum, timeout);
  // A signal ends the wait early, as if the time were up: only the caller knows how long is left.
  if (count < 0 && errno != EINTR) return ThrowErrno(env, errno, "epoll_wait");
  std::vector<double> keys;
  for (int i = 0; i < count; i++) keys.push_back(static_cast<double>(events[i].data.u64));
  return Numbers(env, keys);
}

}  // namespace sluice
