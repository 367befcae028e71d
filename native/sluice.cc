// The system calls Node lacks, and nothing else: no policy, no state, no threads. src/native.ts has the types.
#include "arguments.h"

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {
      {"mount", sluice::Mount},
      {"umount", sluice::Umount},
      {"mountErofs", sluice::MountErofs},
      {"punchHole", sluice::PunchHole},
      {"copyFileRange", sluice::CopyFileRange},
      {"flock", sluice::Flock},
      {"setNonBlocking", sluice::SetNonBlocking},
      {"socketPair", sluice::SocketPair},
      {"sendDescriptors", sluice::SendDescriptors},
      {"receiveDescriptors", sluice::ReceiveDescriptors},
      {"fuseClone", sluice::FuseClone},
      {"fuseExchange", sluice::FuseExchange},
      {"fuseExchangeAny", sluice::FuseExchangeAny},
      {"epollCreate", sluice::EpollCreate},
      {"epollAdd", sluice::EpollAdd},
      {"epollRemove", sluice::EpollRemove},
      {"epollWait", sluice::EpollWait},
  };
  for (const auto& entry : functions) {
    napi_value function = nullptr;
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function) != napi_ok ||
        napi_set_named_property(env, exports, entry.name, function) != napi_ok) {
      return nullptr;
    }
  }
  return exports;
}
