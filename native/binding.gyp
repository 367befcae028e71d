{
  "targets": [
    {
      "target_name": "sluice",
      "sources": ["sluice.cc", "arguments.cc", "mount.cc", "mount-erofs.cc", "descriptors.cc", "epoll.cc", "fuse.cc"],
      "defines": ["NAPI_VERSION=8"],
      "cflags": ["-Wall", "-Wextra", "-Wshadow", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17"]
    }
  ]
}
