//! One layer, forward and backward.
//!
//! ```text
//! attended = x + dropout(attention(x)·Wᵒ + bᵒ)      middle = LayerNorm(attended)
//! summed   = middle + dropout(gelu(middle·Wᵘ + bᵘ)·Wᵈ + bᵈ)      out = LayerNorm(summed)
//! ```

use crate::encoder::activations::{bytes, sized};
use crate::encoder::weights::Layer;
use crate::encoder::{Config, Noise, Place};
use poststelle_kernels::attention::{self, Shape};
use poststelle_kernels::matmul::{Precision, Product};
use poststelle_kernels::{dropout, gelu, norm};

/// What the backward pass of a layer needs from its forward pass besides the input; all `[tokens, …]`.
#[derive(Default)]
pub struct Tape {
    qkv: Vec<f32>,
    context: Vec<f32>,
    attended: Vec<f32>,
    middle: Vec<f32>,
    inner: Vec<f32>,
    summed: Vec<f32>,
}

impl Tape {
    /// Gives the buffers their size for `tokens` tokens.
    pub fn plan(&mut self, config: &Config, tokens: usize) {
        let Self {
            qkv,
            context,
            attended,
            middle,
            inner,
            summed,
        } = self;
        sized(qkv, tokens * 3 * config.hidden);
        sized(inner, tokens * config.feed_forward);
        for buffer in [context, attended, middle, summed] {
            sized(buffer, tokens * config.hidden);
        }
    }

    /// Bytes the buffers hold.
    pub fn bytes(&self) -> usize {
        let Self {
            qkv,
            context,
            attended,
            middle,
            inner,
            summed,
        } = self;
        let all = [qkv, context, attended, middle, inner, summed];
        all.into_iter().map(bytes).sum()
    }
}

/// Buffers that one layer after another works in.
#[derive(Default)]
pub struct Scratch {
    wide: Vec<f32>,
    activated: Vec<f32>,
    narrow: Vec<f32>,
    context: Vec<f32>,
    qkv: Vec<f32>,
}

impl Scratch {
    /// Gives the buffers their size for `tokens` tokens.
    pub fn plan(&mut self, config: &Config, tokens: usize) {
        let Self {
            wide,
            activated,
            narrow,
            context,
            qkv,
        } = self;
        for buffer in [wide, activated] {
            sized(buffer, tokens * config.feed_forward);
        }
        for buffer in [narrow, context] {
            sized(buffer, tokens * config.hidden);
        }
        sized(qkv, tokens * 3 * config.hidden);
    }

    /// Bytes the buffers hold.
    pub fn bytes(&self) -> usize {
        let Self {
            wide,
            activated,
            narrow,
            context,
            qkv,
        } = self;
        let all = [wide, activated, narrow, context, qkv];
        all.into_iter().map(bytes).sum()
    }
}

/// Everything a layer's pass works with besides weights and activations.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub config: &'a Config,
    pub precision: Precision,
    pub starts: &'a [usize],
    pub noise: Noise,
    pub layer: usize,
}

impl Pass<'_> {
    fn shape(&self) -> Shape<'_> {
        Shape {
            starts: self.starts,
            heads: self.config.heads,
            head_width: self.config.head_width(),
        }
    }

    fn dropout(&self, place: Place) -> dropout::Dropout {
        self.noise.dropout(self.layer + 1, place)
    }
}

impl Layer {
    /// Fills `tape` from the layer's `input`, `[tokens, hidden]`: all of the forward pass but its last LayerNorm.
    pub fn record(&self, pass: Pass<'_>, input: &[f32], tape: &mut Tape, scratch: &mut Scratch) {
        let (config, precision) = (pass.config, pass.precision);
        let (n, hidden) = (input.len() / config.hidden, config.hidden);
        let Tape {
            qkv,
            context,
            attended,
            middle,
            inner,
            summed,
        } = tape;

        let qkv = sized(qkv, n * 3 * hidden);
        self.qkv.product(precision, input, qkv);
        norm::add_bias(qkv, &self.qkv.bias);
        let context = sized(context, n * hidden);
        attention::forward(pass.shape(), qkv, pass.dropout(Place::Attention), context);

        let attended = sized(attended, n * hidden);
        self.attention_out.product(precision, context, attended);
        let bias = &self.attention_out.bias;
        norm::add_bias_dropout_residual(attended, bias, pass.dropout(Place::AttentionOut), input);
        let middle = sized(middle, n * hidden);
        let after = &self.attention_norm;
        norm::forward(attended, &after.gain, &after.bias, config.epsilon, middle);

        let inner = sized(inner, n * config.feed_forward);
        self.up.product(precision, middle, inner);
        norm::add_bias(inner, &self.up.bias);
        // Not on the tape: the backward pass computes the activation again.
        let activated = sized(&mut scratch.activated, n * config.feed_forward);
        gelu::forward(inner, activated);
        let summed = sized(summed, n * hidden);
        self.down.product(precision, activated, summed);
        norm::add_bias_dropout_residual(summed, &self.down.bias, pass.dropout(Place::Output), middle);
    }

    /// The layer's output from its filled tape, `[tokens, hidden]`; it may lie where the input lay.
    pub fn finish(&self, pass: Pass<'_>, tape: &Tape, out: &mut [f32]) {
        let after = &self.output_norm;
        let summed = &tape.summed[..out.len()];
        norm::forward(summed, &after.gain, &after.bias, pass.config.epsilon, out);
    }

    /// Turns the gradient of the output into that of the input, in place, and adds the weights' to `grads`.
    ///
    /// `input` and `tape` are those of the forward pass. `below` says whether the gradient of the input is needed;
    /// without it `grad` is left undefined.
    #[allow(clippy::too_many_arguments)] // two of them are a pair, and each is of another kind
    pub fn backward(
        &self,
        pass: Pass<'_>,
        input: &[f32],
        tape: &Tape,
        scratch: &mut Scratch,
        grad: &mut [f32],
        grads: &mut Layer,
        below: bool,
    ) {
        let (config, precision) = (pass.config, pass.precision);
        let (n, hidden) = (input.len() / config.hidden, config.hidden);
        let (narrow_len, wide_len) = (n * hidden, n * config.feed_forward);
        let Scratch {
            wide,
            activated,
            narrow,
            context,
            qkv,
        } = scratch;

        let after = &mut grads.output_norm;
        let gain = &self.output_norm.gain;
        norm::backward(
            &tape.summed[..narrow_len],
            gain,
            config.epsilon,
            grad,
            &mut after.gain,
            &mut after.bias,
        );
        // `grad` now belongs to `summed`: it flows on through the residual and, dropped out, through the block.
        let narrow = sized(narrow, narrow_len);
        narrow.copy_from_slice(grad);
        dropout::apply(pass.dropout(Place::Output), narrow);
        let activated = sized(activated, wide_len);
        let inner = &tape.inner[..wide_len];
        gelu::forward(inner, activated);
        let wide = sized(wide, wide_len);
        self.down.backward(
            precision,
            activated,
            narrow,
            &mut grads.down,
            Some((Product::Replace, wide)),
        );
        gelu::backward(inner, wide);
        self.up.backward(
            precision,
            &tape.middle[..narrow_len],
            wide,
            &mut grads.up,
            Some((Product::Add, grad)),
        );

        let after = &mut grads.attention_norm;
        let gain = &self.attention_norm.gain;
        norm::backward(
            &tape.attended[..narrow_len],
            gain,
            config.epsilon,
            grad,
            &mut after.gain,
            &mut after.bias,
        );
        narrow.copy_from_slice(grad);
        dropout::apply(pass.dropout(Place::AttentionOut), narrow);
        let context_grad = sized(context, narrow_len);
        let into_context = Some((Product::Replace, &mut context_grad[..]));
        self.attention_out.backward(
            precision,
            &tape.context[..narrow_len],
            narrow,
            &mut grads.attention_out,
            into_context,
        );
        let qkv = sized(qkv, 3 * narrow_len);
        attention::backward(
            pass.shape(),
            &tape.qkv[..3 * narrow_len],
            pass.dropout(Place::Attention),
            context_grad,
            qkv,
        );
        let into_input = below.then_some((Product::Add, grad));
        self.qkv
            .backward(precision, input, qkv, &mut grads.qkv, into_input);
    }
}
