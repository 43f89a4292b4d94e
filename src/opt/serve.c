// SPDX-License-Identifier: MIT
//
// Channels on one side, workers on the other.
//
// The main thread alone touches sockets: it accepts channels, puts requests into the queue, and sends what workers have finished. The queue
// is bounded; a worker takes the hottest request, the oldest of equals. When the queue is full the least hot one is
// answered "queue-full". Each request gets one answer, unless its channel closes first. A worker wakes the main thread through an
// eventfd.
//
// Locks: `lock` guards queue and finished jobs; nothing is called under it that waits, but for the workers' condition.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/channel.h"
#include "base/error.h"
#include "opt/compiler.h"
#include "opt/serve.h"
#include "opt/watchdog.h"

typedef struct Channel Channel;
typedef struct Job {
    struct Job *next; // in a list of finished or waiting answers
    Channel *channel;
    uint64_t id, order;
    uint32_t heat;
    uint8_t *data; // the request, then the answer
    size_t size;
} Job;

struct Channel {
    Channel *next;
    int fd;               // -1: closed by the other side
    unsigned jobs;        // queued, being compiled or finished
    Job *answers, **last; // to be sent, in order
};

typedef struct Server {
    int hub, wake;
    Channel *channels;
    unsigned channel_count;
    uint64_t order;
    unsigned delay; // milliseconds
    bool stuck;
    pthread_mutex_t lock;
    pthread_cond_t work;
    Job *queue[SERVE_QUEUE];
    unsigned queued;
    Job *finished;
} Server;

// ---- answers ------------------------------------------------------------------------------------------------------------------
static void write_answer(Job *job, const TraceResult *result) {
    free(job->data);
    job->size = trace_result_write(result, NULL, 0);
    job->data = malloc(job->size);
    if (!job->data) fatal("out of memory");
    trace_result_write(result, job->data, job->size);
}

static void refuse(Job *job, Reason reason) { write_answer(job, &(TraceResult){.id = job->id, .reason = reason}); }

static void free_job(Job *job) {
    free(job->data);
    free(job);
}

// ---- workers ------------------------------------------------------------------------------------------------------------------
static bool goes_before(const Job *a, const Job *b) { return a->heat != b->heat ? a->heat > b->heat : a->order < b->order; }

static Job *take_hottest(Server *s) {
    unsigned best = 0;
    for (unsigned i = 1; i < s->queued; i++)
        if (goes_before(s->queue[i], s->queue[best])) best = i;
    Job *job = s->queue[best];
    s->queue[best] = s->queue[--s->queued];
    return job;
}

static void work_on(Server *s, Compiler *compiler, Job *job) {
    Arena arena = {0};
    TraceRequest request;
    TraceResult result;
    if (!trace_request_read(&arena, &request, job->data, job->size)) refuse(job, REASON_BAD_REQUEST);
    else {
        compile_trace(compiler, &request, &arena, &result);
        write_answer(job, &result);
    }
    arena_free(&arena);
}

static void wake_main(Server *s) {
    uint64_t one = 1;
    while (write(s->wake, &one, sizeof one) < 0 && errno == EINTR) {}
}

static void *worker(void *context) {
    Server *s = context;
    Compiler *compiler = compiler_new();
    for (;;) {
        pthread_mutex_lock(&s->lock);
        while (!s->queued) pthread_cond_wait(&s->work, &s->lock);
        Job *job = take_hottest(s);
        pthread_mutex_unlock(&s->lock);
        work_on(s, compiler, job);
        if (s->delay) usleep(s->delay * 1000);
        pthread_mutex_lock(&s->lock);
        job->next = s->finished;
        s->finished = job;
        pthread_mutex_unlock(&s->lock);
        wake_main(s);
    }
    return NULL;
}

// ---- channels -----------------------------------------------------------------------------------------------------------------
static void close_channel(Channel *channel) {
    if (channel->fd < 0) return;
    shutdown(channel->fd, SHUT_RDWR); // the watchdog has a copy
    close(channel->fd);
    channel->fd = -1;
}

static void send_answers(Channel *channel) {
    while (channel->answers && channel->fd >= 0) {
        Job *job = channel->answers;
        ChannelOutcome outcome = channel_send(channel->fd, job->data, job->size);
        if (outcome == CHANNEL_TOO_LARGE) {
            refuse(job, REASON_REQUEST_TOO_LARGE);
            outcome = channel_send(channel->fd, job->data, job->size);
        }
        if (outcome == CHANNEL_AGAIN) return;
        if (outcome == CHANNEL_BROKEN) close_channel(channel);
        channel->answers = job->next;
        if (!channel->answers) channel->last = &channel->answers;
        channel->jobs--;
        free_job(job);
    }
}

static void to_be_sent(Job *job) {
    Channel *channel = job->channel;
    job->next = NULL;
    *channel->last = job;
    channel->last = &job->next;
    send_answers(channel);
}

// The job that has no place in the queue: the least hot of all.
static Job *enqueue(Server *s, Job *job) {
    Job *loser = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->queued == SERVE_QUEUE) {
        unsigned worst = 0;
        for (unsigned i = 1; i < s->queued; i++)
            if (goes_before(s->queue[worst], s->queue[i])) worst = i;
        loser = job;
        if (goes_before(job, s->queue[worst])) {
            loser = s->queue[worst];
            s->queue[worst] = job;
        }
    } else {
        s->queue[s->queued++] = job;
    }
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    return loser;
}

static void take_request(Server *s, Channel *channel, uint8_t *data, size_t size) {
    Job *job = calloc(1, sizeof *job);
    if (!job) fatal("out of memory");
    *job = (Job){.channel = channel, .order = s->order++, .data = data, .size = size};
    channel->jobs++;
    if (!trace_request_peek(data, size, &job->id, &job->heat)) {
        refuse(job, REASON_BAD_REQUEST);
        to_be_sent(job);
        return;
    }
    Job *loser = enqueue(s, job);
    if (!loser) return;
    refuse(loser, REASON_QUEUE_FULL);
    to_be_sent(loser);
}

static void receive(Server *s, Channel *channel) {
    while (channel->fd >= 0) {
        uint8_t *data;
        size_t size;
        switch (channel_receive(channel->fd, &data, &size)) {
        case CHANNEL_OK: take_request(s, channel, data, size); break;
        case CHANNEL_AGAIN: return;
        case CHANNEL_TOO_LARGE: // who sends that cannot be told which one it was
        case CHANNEL_BROKEN: close_channel(channel); break;
        }
    }
}

static void accept_channels(Server *s) {
    int fd;
    ChannelOutcome outcome;
    while ((outcome = channel_accept(s->hub, &fd)) == CHANNEL_OK) {
        Channel *channel = calloc(1, sizeof *channel);
        if (!channel) fatal("out of memory");
        watchdog_sees(fd);
        while (s->stuck) pause();
        *channel = (Channel){.next = s->channels, .fd = fd};
        channel->last = &channel->answers;
        s->channels = channel;
        s->channel_count++;
    }
    if (outcome != CHANNEL_BROKEN) return;
    shutdown(s->hub, SHUT_RDWR);
    close(s->hub);
    s->hub = -1;
}

static void collect_finished(Server *s) {
    uint64_t count;
    while (read(s->wake, &count, sizeof count) < 0 && errno == EINTR) {}
    pthread_mutex_lock(&s->lock);
    Job *finished = s->finished;
    s->finished = NULL;
    pthread_mutex_unlock(&s->lock);
    for (Job *job = finished, *next; job; job = next) {
        next = job->next;
        to_be_sent(job);
    }
}

// What a process that is gone has asked for is not compiled.
static void drop_queued(Server *s, Channel *channel) {
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->queued;) {
        if (s->queue[i]->channel != channel) {
            i++;
            continue;
        }
        free_job(s->queue[i]);
        channel->jobs--;
        s->queue[i] = s->queue[--s->queued];
    }
    pthread_mutex_unlock(&s->lock);
}

static void drop_answers(Channel *channel) {
    for (Job *job = channel->answers, *next; job; job = next) {
        next = job->next;
        free_job(job);
        channel->jobs--;
    }
    channel->answers = NULL;
    channel->last = &channel->answers;
}

static void remove_closed(Server *s) {
    for (Channel **link = &s->channels, *channel; (channel = *link);) {
        if (channel->fd < 0) {
            drop_answers(channel);
            drop_queued(s, channel);
        }
        if (channel->fd >= 0 || channel->jobs) {
            link = &channel->next;
            continue;
        }
        *link = channel->next;
        s->channel_count--;
        free(channel);
    }
}

// ---- the loop -----------------------------------------------------------------------------------------------------------------
static bool anybody_left(const Server *s) {
    for (const Channel *channel = s->channels; channel; channel = channel->next)
        if (channel->fd >= 0) return true;
    return s->hub >= 0;
}

static void wait_and_serve(Server *s) {
    struct pollfd *fds = calloc(s->channel_count + 2, sizeof *fds);
    if (!fds) fatal("out of memory");
    fds[0] = (struct pollfd){.fd = s->hub, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = s->wake, .events = POLLIN};
    nfds_t n = 2;
    for (Channel *channel = s->channels; channel; channel = channel->next)
        fds[n++] = (struct pollfd){.fd = channel->fd, .events = (short)(POLLIN | (channel->answers ? POLLOUT : 0))};
    if (poll(fds, n, -1) >= 0) {
        n = 2;
        for (Channel *channel = s->channels; channel; channel = channel->next, n++) {
            if (fds[n].revents & POLLOUT) send_answers(channel);
            if (fds[n].revents & (POLLIN | POLLHUP | POLLERR)) receive(s, channel);
        }
        if (fds[1].revents) collect_finished(s);
        if (fds[0].revents) accept_channels(s);
    }
    free(fds);
    remove_closed(s);
}

// There are two descriptors a client.
static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void start_workers(Server *s, unsigned threads) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, worker, s);
        if (error && i == 0) fatal("cannot start a thread: %s", strerror(error));
        if (error) break;
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int serve(const Serve *how) {
    static Server s; // workers see it until the process ends
    s.hub = how->hub;
    s.delay = how->delay;
    s.stuck = how->stuck;
    s.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s.wake < 0) fatal("cannot make an eventfd: %s", strerror(errno));
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.work, NULL);
    raise_limit();
    start_workers(&s, how->threads);
    while (anybody_left(&s)) wait_and_serve(&s);
    _exit(0); // whatever workers still do, nobody waits for it
}
