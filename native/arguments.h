// What every function of the addon shares: checked arguments in, values and errors out.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

// The arguments of one call. The first that has the wrong type or range throws a TypeError or RangeError that names
// it; from then on every getter returns zero and Failed() is true, so a function reads all it needs and asks once.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, const char* function);

  bool Failed() const { return failed_; }
  napi_env env() const { return env_; }

  // A whole number in minimum..maximum, which lie within the safe integers.
  int64_t Integer(size_t index, const char* name, int64_t minimum, int64_t maximum);
  // A file descriptor: 0..INT_MAX.
  int Descriptor(size_t index, const char* name);
  // A file offset or length in bytes, 0..2^53-1.
  int64_t Offset(size_t index, const char* name);
  bool Boolean(size_t index, const char* name);
  // Text as UTF-8; a NUL inside is refused, because the kernel would stop reading there.
  std::string String(size_t index, const char* name);
  std::vector<std::string> Strings(size_t index, const char* name);
  std::vector<int> Descriptors(size_t index, const char* name, size_t maximum);
  // The bytes of a Uint8Array: a view that lives as long as the call.
  void Bytes(size_t index, const char* name, const uint8_t** data, size_t* length);

 private:
  napi_value At(size_t index) const { return index < count_ ? values_[index] : undefined_; }
  std::string StringOf(napi_value value, const char* name);
  int64_t IntegerOf(napi_value value, const char* name, int64_t minimum, int64_t maximum);
  uint32_t LengthOf(napi_value array, const char* name, size_t maximum);
  void Refuse(bool type, const char* name, const std::string& want);

  static constexpr size_t kMaximum = 8;
  napi_env env_;
  const char* function_;
  napi_value undefined_ = nullptr;
  napi_value values_[kMaximum];
  size_t count_ = kMaximum;
  bool failed_ = false;
};

constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

// Throws an Error with `code` ("EPERM"), `errno` (positive) and `syscall`; returns nullptr so that it can be returned.
napi_value ThrowErrno(napi_env env, int number, const char* syscall, const std::string& detail = "");

napi_value Number(napi_env env, double value);
napi_value Numbers(napi_env env, const std::vector<double>& values);

// A file descriptor closed at the end of the scope unless released.
class Owned {
 public:
  explicit Owned(int fd) : fd_(fd) {}
  ~Owned();
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  int get() const { return fd_; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

// The functions, by file. Each has the signature Node-API calls; src/native.ts has their types.
napi_value Mount(napi_env env, napi_callback_info info);
napi_value Umount(napi_env env, napi_callback_info info);
napi_value MountErofs(napi_env env, napi_callback_info info);
napi_value PunchHole(napi_env env, napi_callback_info info);
napi_value CopyFileRange(napi_env env, napi_callback_info info);
napi_value Flock(napi_env env, napi_callback_info info);
napi_value SetNonBlocking(napi_env env, napi_callback_info info);
napi_value SocketPair(napi_env env, napi_callback_info info);
napi_value SendDescriptors(napi_env env, napi_callback_info info);
napi_value ReceiveDescriptors(napi_env env, napi_callback_info info);
napi_value FuseClone(napi_env env, napi_callback_info info);
napi_value FuseExchange(napi_env env, napi_callback_info info);
napi_value FuseExchangeAny(napi_env env, napi_callback_info info);
napi_value EpollCreate(napi_env env, napi_callback_info info);
napi_value EpollAdd(napi_env env, napi_callback_info info);
napi_value EpollRemove(napi_env env, napi_callback_info info);
napi_value EpollWait(napi_env env, napi_callback_info info);

}  // namespace sluice
