/* What the guest does all day: it counts, and it answers lines on TCP port 7.
 *
 * For every line it answers `<boot id> <uptime counter> <connection counter> <line>`. The uptime counter
 * grows by one every 100 ms in the guest's memory; the connection counter lives in the process that holds
 * the connection. So a client sees whether memory and connection survived a migration.
 *
 * A line `run COMMAND` is run by the guest's shell first, for tests of what a guest may do with its NICs; in the
 * answer its exit status stands for the line.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t *uptime_counter;
static char boot_id[64];

static void check(int failed, const char *what)
{
	if (failed) {
		perror(what);
		exit(1);
	}
}

static void read_boot_id(void)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

	check(file == NULL || fgets(boot_id, sizeof boot_id, file) == NULL, "boot_id");
	boot_id[strcspn(boot_id, "\n")] = 0;
	fclose(file);
}

static void count_forever(void)
{
	const struct timespec tick = { .tv_nsec = 100 * 1000 * 1000 };

	for (;;) {
		nanosleep(&tick, NULL);
		++*uptime_counter;
	}
}

static int run(const char *command)
{
	int status;

	signal(SIGCHLD, SIG_DFL);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void answer_lines(int connection)
{
	FILE *input = fdopen(connection, "r");
	uint64_t answered = 0;
	char line[256];

	while (input != NULL && fgets(line, sizeof line, input) != NULL) {
		line[strcspn(line, "\r\n")] = 0;
		if (strncmp(line, "run ", 4) == 0)
			snprintf(line, sizeof line, "%d", run(line + 4));
		if (dprintf(connection, "%s %llu %llu %s\n", boot_id, (unsigned long long)*uptime_counter,
			    (unsigned long long)++answered, line) < 0)
			break;
	}
	exit(0);
}

int main(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(7) };
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGCHLD, SIG_IGN);
	read_boot_id();
	uptime_counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(uptime_counter == MAP_FAILED, "mmap");
	if (fork() == 0)
		count_forever();

	check(listener < 0, "socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	check(bind(listener, (struct sockaddr *)&address, sizeof address) < 0, "bind");
	check(listen(listener, 64) < 0, "listen");
	puts("kedge-guest: ready");
	fflush(stdout);
	for (;;) {
		int connection = accept(listener, NULL, NULL);

		if (connection < 0)
			continue;
		if (fork() == 0)
			answer_lines(connection);
		close(connection);
	}
}
