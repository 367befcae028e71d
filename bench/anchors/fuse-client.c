/*
 * The client of bench/macro/fuse-request.js. Prints a JSON object: microseconds of one request of each kind, mean of
 * COUNT, and megabytes a second of reading `file` from front to back, its pages dropped before.
 *
 * fuse-client DIRECTORY COUNT
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCK (1 << 20)

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static double time_lookup(int directory, int count)
{
	struct stat status;
	double start = now();

	for (int i = 0; i < count; i++)
		must(fstatat(directory, "missing", &status, 0) < 0, "found what is missing");
	return (now() - start) / count;
}

static double time_fstat(int file, int count)
{
	struct stat status;
	double start = now();

	for (int i = 0; i < count; i++)
		must(fstat(file, &status) == 0, "fstat");
	return (now() - start) / count;
}

static double time_direct_read(int file, void *buffer, int count)
{
	double start = now();

	for (int i = 0; i < count; i++)
		must(pread(file, buffer, PAGE, (off_t)(i * 7919 % 65536) * PAGE) == PAGE, "pread");
	return (now() - start) / count;
}

static double sequential_rate(int file, void *buffer)
{
	double start;
	ssize_t length;
	off_t total = 0;

	must(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise");
	must(lseek(file, 0, SEEK_SET) == 0, "lseek");
	for (start = now(); (length = read(file, buffer, BLOCK)) > 0; total += length)
		;
	return total / (now() - start);
}

int main(int count, char **words)
{
	int times = count == 3 ? atoi(words[2]) : 0;
	int directory = times > 0 ? open(words[1], O_RDONLY | O_DIRECTORY) : -1;
	int file = openat(directory, "file", O_RDONLY);
	int direct = openat(directory, "file", O_RDONLY | O_DIRECT);
	void *buffer;

	must(file >= 0 && direct >= 0, "open");
	must(posix_memalign(&buffer, PAGE, BLOCK) == 0, "memory");
	printf("{\"lookup\":%.3f,", time_lookup(directory, times));
	printf("\"fstat\":%.3f,", time_fstat(file, times));
	printf("\"read4k\":%.3f,", time_direct_read(direct, buffer, times));
	printf("\"sequentialMBps\":%.0f}\n", sequential_rate(file, buffer));
	return 0;
}
