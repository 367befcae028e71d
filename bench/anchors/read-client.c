/*
 * The client of bench/macro/read.js. Drops FILE's pages, makes sure that they are gone, reads, and prints a JSON object:
 *
 * read-client sequential FILE           {"rate"}: bytes a second, front to back, 1 MiB a read
 * read-client random FILE COUNT THREADS {"rate"}: reads a second; COUNT different pages in random order
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define BLOCK (1 << 20)
#define MAXIMUM_THREADS 64

struct share {
	pthread_t thread;
	int file;
	const uint32_t *pages;
	size_t count;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static size_t resident_pages(int file, size_t size)
{
	size_t count = size / PAGE, resident = 0;
	unsigned char *present = malloc(count);
	void *mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);

	must(present && mapping != MAP_FAILED, "mmap");
	must(mincore(mapping, count * PAGE, present) == 0, "mincore");
	for (size_t i = 0; i < count; i++)
		resident += present[i] & 1;
	munmap(mapping, size);
	free(present);
	return resident;
}

/* Readahead that is still under way keeps its pages: tries for a second. */
static void drop_pages(int file, size_t size)
{
	for (int attempt = 0; attempt < 20; attempt++) {
		must(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise");
		if (resident_pages(file, size) == 0)
			return;
		usleep(50000);
	}
	fprintf(stderr, "%zu pages stay in the page cache\n", resident_pages(file, size));
	exit(1);
}

static double sequential_rate(int file, size_t size)
{
	char *buffer = malloc(BLOCK);
	size_t total = 0;
	ssize_t length;
	double start;

	must(buffer != NULL, "memory");
	memset(buffer, 0, BLOCK);
	for (start = now(); (length = read(file, buffer, BLOCK)) > 0; total += length)
		;
	must(length == 0 && total == size, "read");
	return total / (now() - start);
}

static void *read_share(void *argument)
{
	const struct share *share = argument;
	char buffer[PAGE];

	for (size_t i = 0; i < share->count; i++)
		must(pread(share->file, buffer, PAGE, (off_t)share->pages[i] * PAGE) == PAGE, "pread");
	return NULL;
}

/* A permutation of the file's pages, the same in every run. */
static uint32_t *shuffled_pages(size_t count)
{
	uint32_t *pages = malloc(count * sizeof(*pages));
	uint64_t state = 88172645463325252ULL;

	must(pages != NULL, "memory");
	for (size_t i = 0; i < count; i++)
		pages[i] = i;
	for (size_t i = count - 1; i > 0; i--) {
		size_t j;
		uint32_t page = pages[i];

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		j = state % (i + 1);
		pages[i] = pages[j];
		pages[j] = page;
	}
	return pages;
}

static double random_rate(const char *name, size_t pages, size_t count, int threads)
{
	struct share shares[MAXIMUM_THREADS];
	const uint32_t *order = shuffled_pages(pages);
	double start;

	for (int i = 0; i < threads; i++) {
		int file = open(name, O_RDONLY);

		must(file >= 0, name);
		/* One request a page, whoever serves it. */
		must(posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM) == 0, "posix_fadvise");
		shares[i].file = file;
		shares[i].pages = order + count / threads * i;
		shares[i].count = count / threads;
	}
	start = now();
	for (int i = 0; i < threads; i++)
		must(pthread_create(&shares[i].thread, NULL, read_share, &shares[i]) == 0, "pthread_create");
	for (int i = 0; i < threads; i++)
		pthread_join(shares[i].thread, NULL);
	return count / threads * threads / (now() - start);
}

int main(int words, char **word)
{
	int sequential = words == 3 && strcmp(word[1], "sequential") == 0;
	int random = words == 5 && strcmp(word[1], "random") == 0;
	struct stat status;
	int file;

	if (!sequential && !random) {
		fprintf(stderr, "usage: read-client sequential FILE | random FILE COUNT THREADS\n");
		return 2;
	}
	file = open(word[2], O_RDONLY);
	must(file >= 0 && fstat(file, &status) == 0, word[2]);
	drop_pages(file, status.st_size);
	if (sequential) {
		printf("{\"rate\":%.0f}\n", sequential_rate(file, status.st_size));
	} else {
		size_t pages = status.st_size / PAGE, count = atol(word[3]);
		int threads = atoi(word[4]);

		if (count > pages || threads < 1 || threads > MAXIMUM_THREADS) {
			fprintf(stderr, "COUNT or THREADS out of range\n");
			return 2;
		}
		printf("{\"rate\":%.0f}\n", random_rate(word[2], pages, count, threads));
	}
	return 0;
}
