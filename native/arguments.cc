#include "arguments.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmath>

namespace sluice {

namespace {

// One page: the kernel copies no longer path, option string or file system name.
constexpr size_t kMaxString = 4096;
// Stops a huge array from being copied; far above the 65,535 devices an EROFS image can name.
constexpr size_t kMaxStrings = 1 << 20;

// "EPERM". libuv knows the names on every libc, but not of all: ENOTBLK, which EROFS gives, is missing.
const char* ErrorName(int number) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
  const char* name = strerrorname_np(number);
  if (name != nullptr) return name;
#endif
  return uv_err_name(-number);
}

}  // namespace

Arguments::Arguments(napi_env env, napi_callback_info info, const char* function) : env_(env), function_(function) {
  napi_get_undefined(env, &undefined_);
  failed_ = napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr) != napi_ok;
}

void Arguments::Refuse(bool type, const char* name, const std::string& want) {
  if (failed_) return;
  failed_ = true;
  const std::string message = std::string("Cannot call ") + function_ + ": " + name + " must be " + want;
  if (type) {
    napi_throw_type_error(env_, nullptr, message.c_str());
  } else {
    napi_throw_range_error(env_, nullptr, message.c_str());
  }
}

int64_t Arguments::IntegerOf(napi_value value, const char* name, int64_t minimum, int64_t maximum) {
  if (failed_) return 0;
  double number = 0;
  if (napi_get_value_double(env_, value, &number) != napi_ok) {
    Refuse(true, name, "a number");
    return 0;
  }
  // The negated comparison also catches NaN.
  if (!(number >= static_cast<double>(minimum) && number <= static_cast<double>(maximum)) ||
      std::trunc(number) != number) {
    Refuse(false, name, "a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum));
    return 0;
  }
  return static_cast<int64_t>(number);
}

int64_t Arguments::Integer(size_t index, const char* name, int64_t minimum, int64_t maximum) {
  return IntegerOf(At(index), name, minimum, maximum);
}

int Arguments::Descriptor(size_t index, const char* name) {
  return static_cast<int>(Integer(index, name, 0, INT_MAX));
}

int64_t Arguments::Offset(size_t index, const char* name) { return Integer(index, name, 0, kMaxSafeInteger); }

bool Arguments::Boolean(size_t index, const char* name) {
  bool value = false;
  if (!failed_ && napi_get_value_bool(env_, At(index), &value) != napi_ok) Refuse(true, name, "a boolean");
  return value;
}

std::string Arguments::StringOf(napi_value value, const char* name) {
  if (failed_) return {};
  size_t length = 0;
  if (napi_get_value_string_utf8(env_, value, nullptr, 0, &length) != napi_ok) {
    Refuse(true, name, "a string");
    return {};
  }
  if (length >= kMaxString) {
    Refuse(false, name, "shorter than " + std::to_string(kMaxString) + " bytes");
    return {};
  }
  std::string text(length + 1, '\0');
  napi_get_value_string_utf8(env_, value, text.data(), text.size(), &length);
  text.resize(length);
  if (text.find('\0') != std::string::npos) Refuse(false, name, "free of NUL characters");
  return text;
}

std::string Arguments::String(size_t index, const char* name) { return StringOf(At(index), name); }

uint32_t Arguments::LengthOf(napi_value array, const char* name, size_t maximum) {
  if (failed_) return 0;
  bool is_array = false;
  uint32_t length = 0;
  if (napi_is_array(env_, array, &is_array) != napi_ok || !is_array ||
      napi_get_array_length(env_, array, &length) != napi_ok) {
    Refuse(true, name, "an array");
    return 0;
  }
  if (length > maximum) {
    Refuse(false, name, "an array of at most " + std::to_string(maximum) + " elements");
    return 0;
  }
  return length;
}

std::vector<std::string> Arguments::Strings(size_t index, const char* name) {
  std::vector<std::string> strings;
  const uint32_t length = LengthOf(At(index), name, kMaxStrings);
  for (uint32_t i = 0; i < length && !failed_; i++) {
    napi_value element = undefined_;
    napi_get_element(env_, At(index), i, &element);
    strings.push_back(StringOf(element, name));
  }
  return strings;
}

std::vector<int> Arguments::Descriptors(size_t index, const char* name, size_t maximum) {
  std::vector<int> descriptors;
  const uint32_t length = LengthOf(At(index), name, maximum);
  for (uint32_t i = 0; i < length && !failed_; i++) {
    napi_value element = undefined_;
    napi_get_element(env_, At(index), i, &element);
    descriptors.push_back(static_cast<int>(IntegerOf(element, name, 0, INT_MAX)));
  }
  return descriptors;
}

void Arguments::Bytes(size_t index, const char* name, const uint8_t** data, size_t* length) {
  *data = nullptr;
  *length = 0;
  if (failed_) return;
  bool is_typed_array = false;
  napi_typedarray_type type = napi_int8_array;
  void* bytes = nullptr;
  if (napi_is_typedarray(env_, At(index), &is_typed_array) != napi_ok || !is_typed_array ||
      napi_get_typedarray_info(env_, At(index), &type, length, &bytes, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    *length = 0;
    return Refuse(true, name, "a Uint8Array");
  }
  *data = static_cast<const uint8_t*>(bytes);
}

napi_value ThrowErrno(napi_env env, int number, const char* syscall, const std::string& detail) {
  const char* code = ErrorName(number);
  const std::string what = detail.empty() ? std::string(syscall) : std::string(syscall) + " " + detail;
  const std::string text = "Cannot " + what + ": " + code + ", " + strerror(number);
  napi_value message = nullptr, code_value = nullptr, syscall_value = nullptr, error = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &message);
  napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value);
  napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &syscall_value);
  if (napi_create_error(env, code_value, message, &error) != napi_ok) return nullptr;
  napi_set_named_property(env, error, "errno", Number(env, number));
  napi_set_named_property(env, error, "syscall", syscall_value);
  napi_throw(env, error);
  return nullptr;
}

napi_value Number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

napi_value Numbers(napi_env env, const std::vector<double>& values) {
  napi_value array = nullptr;
  napi_create_array_with_length(env, values.size(), &array);
  for (size_t i = 0; i < values.size(); i++) {
    napi_set_element(env, array, static_cast<uint32_t>(i), Number(env, values[i]));
  }
  return array;
}

Owned::~Owned() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace sluice
