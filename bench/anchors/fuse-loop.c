/*
 * The yardstick of bench/macro/fuse-request.js: the least a FUSE server can do. One thread reads a request from
 * /dev/fuse, switches on the opcode and writes the answer. It serves one directory with one file of FILE_SIZE bytes,
 * held in memory, and lets the kernel keep neither names nor attributes.
 *
 * fuse-loop DIRECTORY      (root; ends when the directory is unmounted)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_SIZE (256u << 20)
#define MAXIMUM_READ (1u << 20)

static char request[65536];
static char *file;
static int device;

static void answer(uint64_t unique, int error, const void *body, size_t length)
{
	struct fuse_out_header header = { .len = sizeof header + length, .error = error, .unique = unique };
	struct iovec parts[2] = { { &header, sizeof header }, { (void *)body, length } };

	if (writev(device, parts, length ? 2 : 1) < 0 && errno != ENOENT)
		perror("answer");
}

static void fill_attributes(struct fuse_attr *attributes, uint64_t inode)
{
	attributes->ino = inode;
	attributes->mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	attributes->nlink = 1;
	attributes->size = inode == FUSE_ROOT_ID ? 0 : FILE_SIZE;
	attributes->blksize = 4096;
}

static void serve_init(const struct fuse_in_header *header, const struct fuse_init_in *in)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = MAXIMUM_READ,
		.flags = in->flags & (FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_NO_OPEN_SUPPORT |
				      FUSE_NO_OPENDIR_SUPPORT),
		.max_background = 512,
		.congestion_threshold = 384,
		.max_write = 4096,
		.time_gran = 1,
		.max_pages = MAXIMUM_READ / 4096,
	};

	answer(header->unique, 0, &out, sizeof out);
}

static void serve_lookup(const struct fuse_in_header *header, const char *name)
{
	struct fuse_entry_out out = { 0 };

	if (strcmp(name, "file") == 0) {
		out.nodeid = 2;
		fill_attributes(&out.attr, 2);
	}
	answer(header->unique, 0, &out, sizeof out);
}

static void serve_getattr(const struct fuse_in_header *header)
{
	struct fuse_attr_out out = { 0 };

	fill_attributes(&out.attr, header->nodeid);
	answer(header->unique, 0, &out, sizeof out);
}

static void serve_read(const struct fuse_in_header *header, const struct fuse_read_in *in)
{
	size_t left = in->offset < FILE_SIZE ? FILE_SIZE - in->offset : 0;

	answer(header->unique, 0, file + in->offset, in->size < left ? in->size : left);
}

static void serve(const struct fuse_in_header *header, const void *body)
{
	switch (header->opcode) {
	case FUSE_INIT:
		serve_init(header, body);
		break;
	case FUSE_LOOKUP:
		serve_lookup(header, body);
		break;
	case FUSE_GETATTR:
		serve_getattr(header);
		break;
	case FUSE_READ:
		serve_read(header, body);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(header->unique, -ENOSYS, NULL, 0);
	}
}

int main(int count, char **words)
{
	char options[100];

	if (count != 2 || !(file = malloc(FILE_SIZE)))
		return 2;
	memset(file, 'x', FILE_SIZE);
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions", device);
	if (mount("anchor", words[1], "fuse.sluice", MS_RDONLY, options) < 0) {
		perror("mount");
		return 1;
	}
	puts("mounted");
	fflush(stdout);
	for (;;) {
		ssize_t length = read(device, request, sizeof request);

		if (length < 0 && errno == ENODEV)
			return 0;
		if (length > 0)
			serve((void *)request, request + sizeof(struct fuse_in_header));
	}
}
