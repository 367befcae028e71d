// Mounts EROFS through the file system context calls, which take any number of devices: the option string of mount(2)
// ends at 4096 bytes. Raw system calls, so that any libc will do.
#include "arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice {

namespace {

// fsconfig(2) copies at most this many bytes of a value, its NUL included (fs/fsopen.c, strndup_user).
constexpr size_t kMaxValue = 256;

// What the file system said about the failure: one message a read, until ENODATA. Each is "e erofs: text".
std::string KernelLog(int context) {
  std::string log;
  char message[1024];
  for (int i = 0; i < 16; i++) {
    ssize_t length = read(context, message, sizeof message);
    if (length <= 0) break;
    while (length > 0 && message[length - 1] == '\n') length--;
    log += log.empty() ? " (" : "; ";
    log.append(message, static_cast<size_t>(length));
  }
  return log.empty() ? log : log + ")";
}

long Configure(int context, unsigned command, const char* key, const char* value) {
  return syscall(SYS_fsconfig, context, command, key, value, 0);
}

}  // namespace

napi_value MountErofs(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info, "mountErofs");
  const std::string source = arguments.String(0, "source");
  const std::string target = arguments.String(1, "target");
  const std::vector<std::string> devices = arguments.Strings(2, "devices");
  if (arguments.Failed()) return nullptr;

  const Owned context(static_cast<int>(syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC)));
  if (context.get() < 0) return ThrowErrno(env, errno, "fsopen", "erofs");

  const auto set_string = [&](const char* key, const std::string& value) {
    if (value.size() >= kMaxValue) {
      ThrowErrno(env, ENAMETOOLONG, "fsconfig", std::string(key) + " \"" + value + "\"");
      return false;
    }
    if (Configure(context.get(), FSCONFIG_SET_STRING, key, value.c_str()) == 0) return true;
    const int number = errno;
    ThrowErrno(env, number, "fsconfig", std::string(key) + " \"" + value + "\"" + KernelLog(context.get()));
    return false;
  };
  if (!set_string("source", source)) return nullptr;
  for (const std::string& device : devices) {
    if (!set_string("device", device)) return nullptr;
  }
  if (Configure(context.get(), FSCONFIG_SET_FLAG, "ro", nullptr) != 0 ||
      Configure(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr) != 0) {
    const int number = errno;
    return ThrowErrno(env, number, "fsconfig", "create from \"" + source + "\"" + KernelLog(context.get()));
  }

  const Owned mount(static_cast<int>(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)));
  if (mount.get() < 0) {
    const int number = errno;
    return ThrowErrno(env, number, "fsmount", "\"" + source + "\"" + KernelLog(context.get()));
  }
  if (syscall(SYS_move_mount, mount.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return ThrowErrno(env, errno, "move_mount", "\"" + target + "\"");
  }
  return nullptr;
}

}  // namespace sluice
