// mount(2) and umount2(2). Apart from mount-erofs.cc because <sys/mount.h> and <linux/mount.h> of glibc 2.36 define
// the same names.
#include "arguments.h"

#include <errno.h>
#include <limits.h>
#include <sys/mount.h>

namespace sluice {

napi_value Mount(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "mount");
  const std::string source = arguments.String(0, "source");
  const std::string target = arguments.String(1, "target");
  const std::string fstype = arguments.String(2, "fstype");
  const int64_t flags = arguments.Integer(3, "flags", 0, UINT32_MAX);
  const std::string data = arguments.String(4, "data");
  if (arguments.Failed()) return nullptr;
  if (mount(source.c_str(), target.c_str(), fstype.c_str(), static_cast<unsigned long>(flags), data.c_str()) != 0) {
    return ThrowErrno(env, errno, "mount", "\"" + target + "\"");
  }
  return nullptr;
}

napi_value Umount(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "umount");
  const std::string target = arguments.String(0, "target");
  const int64_t flags = arguments.Integer(1, "flags", 0, INT_MAX);
  if (arguments.Failed()) return nullptr;
  if (umount2(target.c_str(), static_cast<int>(flags)) != 0) {
    return ThrowErrno(env, errno, "umount", "\"" + target + "\"");
  }
  return nullptr;
}

}  // namespace sluice
